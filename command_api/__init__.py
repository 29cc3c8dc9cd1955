"""The write side: checks who owns what and appends what was decided to the ledger."""

"""The write side: checks the user, decides on commands, and appends their events to the ledger."""

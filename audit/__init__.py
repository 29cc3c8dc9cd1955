"""Proving the ledger and moving it: verify, anchor, export, import, rebuild, status."""

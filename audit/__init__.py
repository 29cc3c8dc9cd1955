"""Proving the ledger and moving it: verify, anchor, export, import, status, and the operational jobs."""

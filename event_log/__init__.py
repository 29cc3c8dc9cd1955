"""The ledger: one append-only stream of events per user. The only code that touches events."""

"""The ledger: one append-only stream of events per user. The code that appends, decodes and chains events."""

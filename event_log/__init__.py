"""The ledger: one append-only stream of events per user. What appends, decodes and chains events is here."""

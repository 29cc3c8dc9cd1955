"""Adoption: the table of a backend without a ledger becomes streams of this one."""

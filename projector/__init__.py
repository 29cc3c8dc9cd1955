"""Materializes the ledger into the `tasks` table, each event exactly once."""

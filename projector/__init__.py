"""The projector: writes the ledger's events to the `tasks` table, each exactly once."""

"""The read model: the `tasks` table, its rows, and a task as JSON. The projector writes it, the APIs read it."""

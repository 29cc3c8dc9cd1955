"""The read model: the `tasks` table, its rows, and a task as JSON. Kept by the projector, answered by the APIs."""

"""Writes rows of `tasks`: many new ones by COPY, which costs and logs less than an INSERT, the others by an upsert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from event_log.read import TaskKey
from projector.statements import PUT, REMOVE
from read_model.rows import COLUMNS, Row

_VERSION: Final = [*COLUMNS].index("version")
_FEW: Final = 4
"""Up to this number of new rows, the upsert costs less: COPY takes two round trips."""


async def write_new(connection: Any, rows: Sequence[Row]) -> Sequence[Row]:
    """Write those of `rows` that are of new tasks, if there are many; return the others.

    Raises:
        asyncpg.UniqueViolationError: a new task has a row already, against all rules; the transaction is over.
    """
    new = [row for row in rows if row[_VERSION] == 1]
    if len(new) <= _FEW:
        return rows
    await connection.copy_records_to_table("tasks", schema_name="tasklog", columns=[*COLUMNS], records=new)
    return [row for row in rows if row[_VERSION] != 1]


async def write_rows(connection: Any, put: Sequence[Row], removed: Sequence[TaskKey]) -> None:
    """Insert or update the rows `put`, and remove those of deleted tasks."""
    if put:
        await connection.execute(PUT, *[list(column) for column in zip(*put, strict=True)])
    if removed:
        await connection.execute(REMOVE, [user_id for user_id, _ in removed], [task_id for _, task_id in removed])

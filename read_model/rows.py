"""A task as a row of the `tasks` table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from domain.task import Task, title_key
from read_model.body import task_body

COLUMNS: Final[Mapping[str, str]] = {
    "user_id": "text",
    "id": "bigint",
    "title": "text",
    "description": "text",
    "due_date": "text",
    "completed": "boolean",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "created_position": "bigint",
    "version": "integer",
    "title_key": "text",
    "body": "text",
}
"""The columns of `tasks` with their SQL types, in the table's order: the user, a task's own values, what they give."""

TASK_COLUMNS: Final = ("user_id", *Task._fields)
"""The columns that a task is made of again."""

Row: TypeAlias = tuple[Any, ...]
"""A row of `tasks`, in the order of its columns."""


def row_of(user_id: str, task: Task) -> Row:
    """Return the row of a user's task."""
    return (user_id, *task, title_key(task.title), task_body(user_id, task).decode())


def task_of(row: Mapping[str, Any]) -> Task:
    """Return the task of a row; its times may be datetimes or ISO 8601 text."""
    return Task._make([_value(name, row[name]) for name in Task._fields])


def _value(name: str, stored: Any) -> Any:
    if name.endswith("_at") and isinstance(stored, str):
        return datetime.fromisoformat(stored).astimezone(UTC)
    return stored

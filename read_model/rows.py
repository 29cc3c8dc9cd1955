"""Project: a task's state to its row in the read table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from domain.task import Task, title_key
from read_model.body import task_body

Row: TypeAlias = tuple[str, int, str, str | None, bool, datetime, datetime, int, int, str, str]
"""A row of `tasks`, in the order of its columns."""


def row_of(user_id: str, task: Task) -> Row:
    """The row of a user's task."""
    return (
        user_id,
        task.id,
        task.title,
        task.description,
        task.completed,
        task.created_at,
        task.updated_at,
        task.created_position,
        task.version,
        title_key(task.title),
        task_body(user_id, task).decode(),
    )


def task_of(row: Mapping[str, Any]) -> Task:
    """The task of a row; its times may be datetimes or ISO 8601 text."""
    created, updated = row["created_at"], row["updated_at"]
    return Task(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        completed=row["completed"],
        created_at=created if isinstance(created, datetime) else datetime.fromisoformat(created).astimezone(UTC),
        updated_at=updated if isinstance(updated, datetime) else datetime.fromisoformat(updated).astimezone(UTC),
        created_position=row["created_position"],
        version=row["version"],
    )

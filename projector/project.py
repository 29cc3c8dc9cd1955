"""Project: a task's state to its row in the read table."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from domain.task import Task, title_key
from edge.task_body import task_body

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

"""A task as the contract shows it, rendered in one place: for answers to writes, the projection and merged reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from domain.task import Task

_OPTIONS = orjson.OPT_UTC_Z


def task_body(user_id: str, task: Task) -> bytes:
    """The task's JSON object, UTF-8: the contract's seven fields; times are RFC 3339 in UTC with a Z."""
    return orjson.dumps(
        {
            "id": task.id,
            "user_id": user_id,
            "title": task.title,
            "description": task.description,
            "completed": task.completed,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        },
        option=_OPTIONS,
    )

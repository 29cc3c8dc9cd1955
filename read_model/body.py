"""A task as the contract shows it, rendered in one place: for answers to writes, the projection and merged reads."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import orjson

from domain.task import Task

_OPTIONS = orjson.OPT_UTC_Z


def task_body(user_id: str, task: Task) -> bytes:
    """Return the task's JSON object, UTF-8: the contract's seven fields; times are RFC 3339 in UTC with a Z."""
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


def task_tag(version: object, body: bytes) -> str:
    """Return the entity tag of a task: its version, by which a write can name it, and a digest of the very bytes."""
    return f'"{version}-{_digest(body)}"'


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=6).hexdigest()


def _sample() -> Task:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    filled = {"id": 1, "title": "t", "completed": False, "created_at": at, "updated_at": at, "version": 1}
    return Task._make(filled.get(name) for name in Task._fields)


BODY_FORMAT: Final = _digest(task_body("u", _sample()))
"""Changes when this code writes a task otherwise: in the tags of answers that are known before they are written."""

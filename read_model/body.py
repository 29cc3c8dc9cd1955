"""A task as the contract shows it, rendered in one place: for answers to writes, the projection and merged reads."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import orjson

from domain.task import DeletedTask, Task

PLAIN_END: Final = (
    b',"priority":"medium","due_date":null,"tags":[],"category":null,'
    b'"completed_at":null,"is_completed":false,"status":"pending"}'
)
"""How the JSON of most tasks ends: of those that are pending, without labels and a due date."""

SHORT_BODY: Final = 1000
"""The longest body, in bytes, whose end is left out of its row; of a longer one it would hardly count."""

_OPTIONS = orjson.OPT_UTC_Z


def task_body(user_id: str, task: Task) -> bytes:
    """Return the task's JSON object, UTF-8: the contract's seven members first; times are RFC 3339 in UTC with a Z."""
    return orjson.dumps(
        {
            "id": task.id,
            "user_id": user_id,
            "title": task.title,
            "description": task.description,
            "completed": task.completed,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
            "priority": task.priority,
            "due_date": task.due_date,
            "tags": task.tags,
            "category": task.category,
            "completed_at": task.completed_at,
            "is_completed": task.completed,
            "status": "completed" if task.completed else "pending",
        },
        option=_OPTIONS,
    )


def stored_body(body: bytes) -> bytes:
    """Return a task's JSON as its row has it: a short one with the usual end loses that end, and its first brace.

    The SQL function `tasklog.whole_body` gives it back; only what has lost its end does not begin with a brace.
    """
    if len(body) <= SHORT_BODY and body.endswith(PLAIN_END):
        return body[1 : -len(PLAIN_END)]
    return body


def deleted_body(user_id: str, deleted: DeletedTask) -> bytes:
    """Return the JSON object of a deleted task: as it was, with `deleted_at`."""
    deleted_at = orjson.dumps({"deleted_at": deleted.deleted_at}, option=_OPTIONS)
    return task_body(user_id, deleted.task)[:-1] + b"," + deleted_at[1:]


def task_tag(version: object, body: bytes) -> str:
    """Return the entity tag of a task: its version, by which a write can name it, and a digest of the very bytes."""
    return f'"{version}-{blake2b(body, digest_size=6).hexdigest()}"'

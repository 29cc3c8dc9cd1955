"""A task as a row of the `tasks` table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import orjson

from domain.labels import MEDIUM, MEDIUM_RANK, rank
from domain.task import Task, title_key
from read_model.body import stored_body, task_body
from read_model.keys import PLAIN_FACETS, due_key, facets, overdue_key, search_text

COLUMNS: Final[Mapping[str, str]] = {
    "user_id": "text",
    "id": "bigint",
    "title": "text",
    "description": "text",
    "due_date": "text",
    "priority": "text",
    "tags": "text",
    "category": "text",
    "completed": "boolean",
    "completed_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "created_position": "bigint",
    "version": "integer",
    "title_key": "text",
    "body": "text",
    "due_key": "bigint",
    "overdue_key": "bigint",
    "priority_rank": "smallint",
    "facets": "text",
    "search_text": "text",
}
"""The columns of `tasks` with their SQL types: the user, a task's own values, what they give.

Null stands for the priority of a task for which none was given, for its rank, for no tags, for the facets of both, and
for a searched text that is the title's key, and a body may lack its end: what most tasks have is not written twice.
"""

TASK_COLUMNS: Final = ("user_id", *Task._fields)
"""The columns that a task is made of again."""

_AT_PRIORITY: Final = Task._fields.index("priority")
_AT_CATEGORY: Final = _AT_PRIORITY + 2
_AT_TIMES: Final = tuple(n for n, name in enumerate(Task._fields) if name.endswith("_at"))
_NO_KEYS: Final = (None, None, None, None)
_PLAIN: Final = (None, MEDIUM, (), None)
"""Due date, priority, tags and category of a task that has none of them, as most: its row is made faster."""

Row: TypeAlias = tuple[Any, ...]
"""A row of `tasks`, in the order of its columns."""


def row_of(user_id: str, task: Task) -> Row:
    """Return the row of a user's task."""
    priority = tags = None
    keys: tuple[int | str | None, ...] = _NO_KEYS
    if task[_AT_PRIORITY - 1 : _AT_CATEGORY + 1] != _PLAIN:
        priority = None if task.priority == MEDIUM else task.priority
        tags = orjson.dumps(task.tags).decode() if task.tags else None
        keys = _keys(task)
    before, behind = task[:_AT_PRIORITY], task[_AT_CATEGORY:]
    body = stored_body(task_body(user_id, task)).decode()
    key, searched = title_key(task.title), search_text(task)
    its_own = None if searched.rstrip("\n") == key else searched
    return (user_id, *before, priority, tags, *behind, key, body, *keys, its_own)


def _keys(task: Task) -> tuple[int | str | None, ...]:
    """Return a task's due and overdue keys, rank and facets, as the columns take them."""
    its_rank, lines = rank(task.priority), facets(task)
    return (
        due_key(task),
        overdue_key(task),
        None if its_rank == MEDIUM_RANK else its_rank,
        None if lines == PLAIN_FACETS else lines,
    )


def task_of(row: Mapping[str, Any]) -> Task:
    """Return the task of a row; its times may be datetimes or ISO 8601 text."""
    values = [row[name] for name in Task._fields]
    tags = values[_AT_PRIORITY + 1]
    if values[_AT_PRIORITY] is None:
        values[_AT_PRIORITY] = MEDIUM
    values[_AT_PRIORITY + 1] = () if tags is None else tuple(orjson.loads(tags))
    for n in _AT_TIMES:
        if isinstance(at := values[n], str):
            values[n] = datetime.fromisoformat(at).astimezone(UTC)
    return Task._make(values)

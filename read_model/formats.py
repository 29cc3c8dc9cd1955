"""The formats in which this version writes a task: digests of a few samples.

A change of a task's body or row changes them by itself. Entity tags contain the format of bodies. Each user's
checkpoint contains the format of the user's rows: rows in another format are not read, and idle projectors rebuild
them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final

from domain.labels import MEDIUM
from domain.task import Task
from read_model.body import task_body
from read_model.rows import COLUMNS, row_of

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def _samples() -> list[Task]:
    """Return a task with all fields set, and one with as few as possible."""
    full = {"title": "Straße ﬁ Ǆ", "description": "2 ½", "completed": True, "completed_at": _AT, "version": 3}
    full |= {"due_date": "2026-01-02", "priority": "P1", "tags": ("a", "ß"), "category": "C"}
    least = {"title": "t", "priority": MEDIUM, "tags": (), "completed": False, "version": 1}
    always = {"id": 1, "created_at": _AT, "updated_at": _AT + timedelta(hours=1), "created_position": 2}
    return [Task._make((always | given).get(name) for name in Task._fields) for given in (full, least)]


def _digest(written: object) -> str:
    return blake2b(repr(written).encode(), digest_size=6).hexdigest()


BODY_FORMAT: Final = _digest([task_body("u", task) for task in _samples()])
"""Changes when this version writes a task's JSON differently: for entity tags that are known before the answer is."""

ROW_FORMAT: Final = _digest([COLUMNS, *(row_of("u", task) for task in _samples())])
"""Changes when this version writes a row differently: its columns, its sort keys or its body."""

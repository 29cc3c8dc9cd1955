"""What was done, as undo has to know it: which fields each event set, and what it took back; never the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.undo import Step
from event_log.append import Fetching

EVENT_AT: Final = "SELECT * FROM tasklog.event_at($1, $2)"
OF_TASK: Final = "SELECT * FROM tasklog.changes_of_task($1, $2, $3, $4)"
OF_USER: Final = "SELECT * FROM tasklog.changes_of_user($1, $2)"
UNDO_AT: Final = "SELECT * FROM tasklog.undo_at($1, $2, $3)"


class EventAt(NamedTuple):
    """The event at a position; `task_id` is None for one of the whole stream.

    `erased` is the position of the user's last erasure, 0 without one.
    """

    task_id: int | None
    version: int
    erased: int


class Undo(NamedTuple):
    """Where an undo was recorded, and the position of what it took back."""

    position: int
    undoes: int


async def event_at(database: Fetching, user_id: str, position: int) -> EventAt | None:
    """Return the event at a position of a user's stream, or None if there is none."""
    rows = await database.fetch(EVENT_AT, user_id, position)
    return EventAt(*rows[0]) if rows else None


async def steps_of_task(database: Fetching, user_id: str, task_id: int, *, after: int, at_most: int) -> Sequence[Step]:
    """Return the newest events of a task after version `after`, newest first."""
    rows = await database.fetch(OF_TASK, user_id, task_id, after, at_most)
    return [Step(row[0], row[1], frozenset(row[2]), row[3], row[4]) for row in rows]


async def steps_of_user(database: Fetching, user_id: str, *, at_most: int) -> Sequence[Step]:
    """Return a user's newest events since the last erasure, newest first, without what they set."""
    rows = await database.fetch(OF_USER, user_id, at_most)
    return [Step(row[0], row[1], frozenset(), row[2], row[3]) for row in rows]


async def undo_at(database: Fetching, user_id: str, task_id: int, version: int) -> Undo:
    """Return the undo that led to a version of a task."""
    ((position, undoes),) = await database.fetch(UNDO_AT, user_id, task_id, version)
    return Undo(position, undoes)

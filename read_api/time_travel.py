"""Time travel: a user's tasks at an earlier position, folded from the ledger with the same `evolve`."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from domain.evolve import evolve
from domain.task import NoTask, Task, TaskState
from event_log.append import Fetching
from event_log.elsewhere import check_here
from event_log.long_texts import with_data, without_long_texts
from event_log.read import recorded
from read_api.long_lists import TEXTS, Plan, bodies, found, size_of
from read_api.queries import LIST_BYTES, Head, TaskPage, TaskQuery

MOMENT: Final = """
    -- A moment without an event may be that of a user who is not here.
    SELECT m.*, CASE WHEN m.future OR m.mark IS NULL THEN tasklog.elsewhere($1) END AS elsewhere
    FROM tasklog.moment($1, $2, $3) m
"""
EVENTS: Final = "SELECT * FROM tasklog.short_events($1, $2, $3, $4)"

_CHUNK: Final = 250  # events; about 3 ms of work, then other requests get their turn
_NOTHING: Final = NoTask()


class FutureError(Exception):
    """The requested moment is in the future."""


class Moment(NamedTuple):
    """A position of a stream, its event's hash prefix, and the last erasure's position: they determine every answer."""

    position: int
    hash_prefix: str
    erased: int

    def __str__(self) -> str:
        """Return the moment as part of an ETag."""
        return f"{self.position}.{self.hash_prefix}.{self.erased}"


async def moment(database: Fetching, user_id: str, as_of: int | datetime) -> Moment:
    """Return the moment of a position, or of a time: the last position that was recorded by then.

    Raises:
        FutureError: the position is after the stream's head, or the time is in the future.
        UnavailableError: the database cannot answer.
    """
    asked = (None, as_of) if isinstance(as_of, datetime) else (as_of, None)
    (row,) = await database.fetch(MOMENT, user_id, *asked)
    check_here(row["elsewhere"])
    if row["future"]:
        raise FutureError
    return Moment(position=row["position"], hash_prefix=row["mark"] or "", erased=row["erased"])


async def list_tasks_as_of(database: Fetching, user_id: str, query: TaskQuery, position: int) -> TaskPage:
    """Return a user's tasks as they were at a position; a long list comes in parts.

    Raises:
        HistoryError, UnreadableEventError: an event up to there is impossible or unreadable.
        UnavailableError: the database cannot answer.
    """
    states = await _fold(database, user_id, position)
    tasks = await found(database, user_id, query, states.values())
    tasks.sort(key=query.order.place, reverse=query.order.descending)
    rest = [task for task in tasks if query.is_reached(query.order.place(task))]
    page = rest[: query.limit]
    last = page[-1] if len(rest) > len(page) else None
    is_long = sum(map(size_of, page)) > LIST_BYTES
    return TaskPage(
        body=b"" if is_long else await _array(database, user_id, page),
        parts=_plan(user_id, position, page).parts(database) if is_long else None,
        head=Head(position),
        total=None if query.limit is None else len(tasks),
        next=None if last is None else query.cursor(query.order.place(last), position),
    )


def _plan(user_id: str, position: int, tasks: list[Task]) -> Plan:
    return Plan(
        user_id=user_id,
        until=position,
        ids=array("q", [task.id for task in tasks]),
        versions=array("q", [task.version for task in tasks]),
        sizes=array("q", map(size_of, tasks)),
    )


async def _fold(database: Fetching, user_id: str, position: int) -> Mapping[int, TaskState]:
    """Return the tasks after the events up to `position`; read in chunks, so that memory only holds short texts."""
    states: dict[int, TaskState] = {}
    after = 0
    while after < position:
        rows = await database.fetch(EVENTS, user_id, after, position, _CHUNK)
        async for part in with_data(database, rows, TEXTS):
            for event in filter(None, map(recorded, part)):
                state = evolve(states.get(event.task_id, _NOTHING), event)
                states[event.task_id] = without_long_texts(state, event.position)
        after = rows[-1]["position"] if len(rows) == _CHUNK else position
    return states


async def _array(database: Fetching, user_id: str, tasks: list[Task]) -> bytes:
    """Return a JSON array, rendered in chunks so that a list does not delay other requests."""
    rendered: list[bytes] = []
    for start in range(0, len(tasks), _CHUNK):
        rendered += await bodies(database, user_id, tasks[start : start + _CHUNK])
        await asyncio.sleep(0)
    return b"[" + b",".join(rendered) + b"]"

"""Time travel: a user's tasks as they were at a position, folded from the ledger by the same `evolve` as ever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from domain.evolve import evolve
from domain.task import NoTask, Task, TaskState
from event_log.read import recorded
from read_api.cursor import Cursor
from read_api.queries import Head, TaskBody, TaskPage, TaskQuery, matches, place, sort_key
from read_model.body import task_body
from runtime.database import Database

MOMENT: Final = "SELECT * FROM tasklog.moment($1, $2, $3)"
EVENTS: Final = "SELECT * FROM tasklog.events_between($1, $2, $3, $4, $5)"

_CHUNK: Final = 250  # some 3 ms of work, then other requests have their turn
_NOTHING: Final = NoTask()


class FutureError(Exception):
    """What is asked for has not happened yet."""


class Moment(NamedTuple):
    """A position of a stream, its event's mark, and where the last erasure is recorded: they fix every answer."""

    position: int
    mark: str
    erased: int

    def __str__(self) -> str:
        """As an entity tag holds it."""
        return f"{self.position}.{self.mark}.{self.erased}"


async def moment(database: Database, user_id: str, as_of: int | datetime) -> Moment:
    """The moment of a position, or of a time: the last position that was recorded then.

    Raises:
        FutureError: the position is behind the stream's head, the time is still to come.
        UnavailableError: the database cannot answer.
    """
    asked = (None, as_of) if isinstance(as_of, datetime) else (as_of, None)
    (row,) = await database.fetch(MOMENT, user_id, *asked)
    if row["future"]:
        raise FutureError
    return Moment(position=row["position"], mark=row["mark"] or "", erased=row["erased"])


async def list_tasks_as_of(database: Database, user_id: str, query: TaskQuery, position: int) -> TaskPage:
    """A user's tasks as they were at a position.

    Raises:
        HistoryError, UnreadableEventError: an event up to there cannot be followed.
        UnavailableError: the database cannot answer.
    """
    states = await _fold(database, user_id, None, position)
    tasks = [state for state in states.values() if isinstance(state, Task) and matches(query, state)]
    tasks.sort(key=lambda task: place(sort_key(query, task), task.id))
    after = query.after
    rest = (
        tasks if after is None else [t for t in tasks if place(sort_key(query, t), t.id) > place(after.key, after.id)]
    )
    page = rest[: query.limit]
    last = page[-1] if len(rest) > len(page) else None
    return TaskPage(
        body=await _array(user_id, page),
        head=Head(position),
        total=None if query.limit is None else len(tasks),
        next=None if last is None else _cursor(query, last, position),
    )


def _cursor(query: TaskQuery, last: Task, position: int) -> Cursor:
    return Cursor(sort=query.sort, status=query.status, key=sort_key(query, last), id=last.id, as_of=position)


async def get_task_as_of(database: Database, user_id: str, task_id: int, position: int) -> TaskBody | None:
    """One of a user's tasks as it was at a position; None if there was none.

    Raises:
        HistoryError, UnreadableEventError: an event of the task up to there cannot be followed.
        UnavailableError: the database cannot answer.
    """
    task = (await _fold(database, user_id, task_id, position)).get(task_id)
    if not isinstance(task, Task):
        return None
    return TaskBody(body=task_body(user_id, task), version=task.version)


async def _fold(database: Database, user_id: str, task_id: int | None, position: int) -> Mapping[int, TaskState]:
    """The tasks after the events up to `position`, of one or of all; in chunks, so memory holds the tasks alone."""
    states: dict[int, TaskState] = {}
    after = 0
    while after < position:
        rows = await database.fetch(EVENTS, user_id, task_id, after, position, _CHUNK)
        for row in rows:
            if event := recorded(row):
                states[event.task_id] = evolve(states.get(event.task_id, _NOTHING), event)
        after = rows[-1]["position"] if len(rows) == _CHUNK else position
    return states


async def _array(user_id: str, tasks: list[Task]) -> bytes:
    """A JSON array, rendered in chunks: a long list must not hold up the others either."""
    bodies: list[bytes] = []
    for start in range(0, len(tasks), _CHUNK):
        bodies += [task_body(user_id, task) for task in tasks[start : start + _CHUNK]]
        await asyncio.sleep(0)
    return b"[" + b",".join(bodies) + b"]"

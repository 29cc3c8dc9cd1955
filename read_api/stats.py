"""How many tasks a user has: counted over the rows and the events that are not projected yet."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import orjson

from domain.due_date import microseconds
from domain.task import Task
from event_log.append import Fetching
from event_log.elsewhere import check_here
from read_api.long_lists import tasks_at
from read_api.queries import Head
from read_model.formats import ROW_FORMAT
from read_model.keys import overdue_key

COUNTS: Final = """
    SELECT c.*, CASE WHEN c.head = 0 THEN tasklog.elsewhere($1) END AS elsewhere FROM tasklog.count_tasks($1, $2, $3) c
"""


class Counts(NamedTuple):
    """A user's tasks at a moment, by number."""

    total: int
    pending: int
    completed: int
    overdue: int

    def body(self) -> bytes:
        """Return them as JSON."""
        return orjson.dumps(self._asdict())


async def stats(database: Fetching, turn: Fetching, user_id: str, now: datetime) -> tuple[Head, Counts]:
    """Return a user's head and counts, as they are after every acknowledged command; overdue is what is so at `now`.

    Many unprojected events are read with `turn`.

    Raises:
        HistoryError, UnreadableEventError: an event that is not projected yet is impossible or unreadable.
        UnavailableError: the database cannot answer.
    """
    moment = microseconds(now)
    (row,) = await database.fetch(COUNTS, user_id, moment, ROW_FORMAT)
    check_here(row["elsewhere"])
    total, completed, overdue = row["total"], row["completed"], row["overdue"]
    touched = await tasks_at(turn, user_id, row["touched"], row["head"]) if row["touched"] else {}
    for task in touched.values():
        if isinstance(task, Task):
            total += 1
            completed += task.completed
            overdue += is_overdue(task, moment)
    head = Head(row["head"], row["mark"] or "")
    return head, Counts(total=total, pending=total - completed, completed=completed, overdue=overdue)


def is_overdue(task: Task, moment: int) -> bool:
    """Return whether a task is pending, and was due before a moment in microseconds from 1970."""
    at = overdue_key(task)
    return not task.completed and at is not None and at <= moment

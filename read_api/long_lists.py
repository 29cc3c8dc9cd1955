"""Long lists: first the plan of which tasks they hold, then the tasks, in parts that are read when they can be sent.

Memory holds one part. No snapshot and no connection is held between parts. Each task is shown as it was at the list's
head: from its row if that still has the planned version, otherwise from the ledger.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.evolve import evolve_last
from domain.task import NoTask, Task, TaskState
from event_log.append import Fetching
from event_log.elsewhere import check_here
from event_log.long_texts import left_out, parts, whole, with_data, without_long_texts
from event_log.read import recorded
from read_api.queries import Head, TaskBody, TaskPage, TaskQuery, found_place_of, json_array, place_of
from read_model.body import task_body
from read_model.formats import ROW_FORMAT
from read_model.sorts import Key, Place, Sort

PLAN: Final = f"""
    SELECT l.*, CASE WHEN l.head = 0 THEN tasklog.elsewhere($1) END AS elsewhere
    FROM tasklog.long_list($1, $2, $3, $4, $5, $6, '{ROW_FORMAT}') l
"""
FOUND_PLAN: Final = f"""
    SELECT l.*, CASE WHEN l.head = 0 THEN tasklog.elsewhere($1) END AS elsewhere
    FROM tasklog.find_long($1, $6, string_to_array($2, chr(31)), string_to_array($3, chr(31)), $4, $5,
                           $7, $8, $9, $10, '{ROW_FORMAT}') l
"""
BODIES: Final = f"SELECT * FROM tasklog.bodies($1, $2, $3, '{ROW_FORMAT}')"
JOINED: Final = f"SELECT * FROM tasklog.joined_bodies($1, $2, $3, '{ROW_FORMAT}')"
TASKS_AT: Final = "SELECT * FROM tasklog.tasks_at($1, $2, $3)"
TEXTS: Final = "SELECT * FROM tasklog.texts(($1::text[])[1], $2)"

PART_BYTES: Final = 512 * 1024
"""The approximate size of a part, in bytes; a part has at least one task."""
_PART_TASKS: Final = 1000
_FOLDED_AT_ONCE: Final = 250
_NOW: Final = 2**63 - 1
_WITHOUT_TEXT_BYTES: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The tasks of a list, in order: their ids, versions at position `until`, and approximate sizes in bytes."""

    user_id: str
    until: int
    ids: array[int]
    versions: array[int]
    sizes: array[int]

    async def parts(self, database: Fetching) -> AsyncIterator[bytes]:
        """Yield the list as JSON, part by part.

        Raises:
            UnavailableError: the database cannot answer.
        """
        before = b"["
        # Each task counts as at least a thousandth of a part, so that no part has too many tasks.
        sized = ((n, max(size, PART_BYTES // _PART_TASKS)) for n, size in enumerate(self.sizes))
        for part in parts(sized, PART_BYTES):
            yield before + await self._joined(database, part)
            before = b","
        yield b"]" if before == b"," else b"[]"

    async def _joined(self, database: Fetching, part: Sequence[int]) -> bytes:
        """Return a part, which Postgres puts together unless a task was changed since."""
        ids, versions = [self.ids[n] for n in part], [self.versions[n] for n in part]
        (row,) = await database.fetch(JOINED, self.user_id, ids, versions)
        if row["number"] == len(ids):
            return bytes(row["bodies"])
        return b",".join(await self._bodies(database, ids, versions))

    async def _bodies(self, database: Fetching, ids: Sequence[int], versions: Sequence[int]) -> list[bytes]:
        found = {row["id"]: row["body"].encode() for row in await database.fetch(BODIES, self.user_id, ids, versions)}
        if len(found) < len(ids):
            changed = [task_id for task_id in ids if task_id not in found]
            states = await tasks_at(database, self.user_id, changed, self.until)
            tasks = [state for state in states.values() if isinstance(state, Task)]
            found |= {
                task.id: body for task, body in zip(tasks, await bodies(database, self.user_id, tasks), strict=True)
            }
        return [found[task_id] for task_id in ids if task_id in found]


async def long_list(database: Fetching, user_id: str, query: TaskQuery) -> TaskPage:
    """Return a user's list of any length, as it is after every acknowledged command.

    Raises:
        HistoryError, UnreadableEventError: an event that is not projected yet is impossible or unreadable.
        UnavailableError: the database cannot answer.
    """
    plan_of, place = (PLAN, place_of) if query.is_indexed else (FOUND_PLAN, found_place_of)
    (row,) = await database.fetch(plan_of, *place(user_id, query))
    check_here(row["elsewhere"])
    states = await tasks_at(database, user_id, row["touched"], row["head"]) if row["touched"] else {}
    changed = await found(database, user_id, query, states.values())
    head = Head(row["head"], row["mark"] or "")
    plan, last = await asyncio.to_thread(_merged, user_id, query, row, changed)
    return TaskPage(
        parts=plan.parts(database),
        head=head,
        total=None if query.limit is None else row["total"] + len(changed),
        next=None if last is None else query.cursor(last),
    )


def _merged(
    user_id: str, query: TaskQuery, row: Mapping[str, Any], changed: Sequence[Task]
) -> tuple[Plan, Place | None]:
    """Merge stored and changed tasks; return the plan, and the place of the page's last task if more follow."""
    order, limit = query.order, query.limit
    keys = json_array(row["keys"])
    stored = row["ids"] or [], keys, row["versions"] or [], row["sizes"] or []
    merged: tuple[list[Any], ...] = ([], [], [], [])
    begin = 0
    # No step is one of a stored task: with many of them the thread would hold up the process's other work.
    for task in sorted(changed, key=order.place, reverse=order.descending):
        if query.is_reached(place := order.place(task)):
            end = _place_of(place, order, stored[0], keys, begin)
            for column, values, value in zip(
                merged, stored, (task.id, place[0], task.version, size_of(task)), strict=True
            ):
                column += [*values[begin:end], value]
            begin = end
    columns = [column + values[begin:] for column, values in zip(merged, stored, strict=True)]
    ids, keys, versions, sizes = (column[:limit] for column in columns)
    last = (keys[-1], ids[-1]) if limit is not None and len(columns[0]) > limit else None
    plan = Plan(
        user_id=user_id, until=row["head"], ids=array("q", ids), versions=array("q", versions), sizes=array("q", sizes)
    )
    return plan, last


def _place_of(place: Place, order: Sort, ids: Sequence[int], keys: Sequence[Key], begin: int) -> int:
    """Return how many of the tasks `ids`, which are in order and have these keys, a list has before a place."""
    return bisect_left(range(len(ids)), 1, lo=begin, key=lambda n: order.is_behind((keys[n], ids[n]), place))


async def found(database: Fetching, user_id: str, query: TaskQuery, states: Iterable[TaskState]) -> list[Task]:
    """Return the tasks that a list has; long texts are fetched where words are asked for, a few at a time."""
    tasks = [state for state in states if isinstance(state, Task) and query.has_but_for_words(state)]
    if not query.filters.words:
        return tasks
    having: list[Task] = []
    for part in parts((task, size_of(task)) for task in tasks):
        texts = await whole(database, [(user_id, task) for task in part], TEXTS)
        having += await asyncio.to_thread(_having_words, query, part, texts)
    return having


def _having_words(query: TaskQuery, tasks: Sequence[Task], texts: Sequence[Task]) -> list[Task]:
    return [task for task, text in zip(tasks, texts, strict=True) if query.filters.has_words(text)]


def size_of(task: Task) -> int:
    """Return about how many bytes of JSON a task takes."""
    return _WITHOUT_TEXT_BYTES + sum(2 * text.size for text in left_out(task))


async def tasks_at(database: Fetching, user_id: str, ids: Sequence[int], position: int) -> dict[int, TaskState]:
    """Return some of a user's tasks at a position, without their long texts.

    Only the few events that give their state are read, however long their histories are.

    Raises:
        HistoryError, UnreadableEventError: one of these events is impossible or unreadable.
        UnavailableError: the database cannot answer.
    """
    states: dict[int, TaskState] = {}
    for start in range(0, len(ids), _FOLDED_AT_ONCE):
        rows = await database.fetch(TASKS_AT, user_id, ids[start : start + _FOLDED_AT_ONCE], position)
        async for part in with_data(database, rows, TEXTS):
            for event in filter(None, map(recorded, part)):
                state = evolve_last(states.get(event.task_id, NoTask()), event)
                states[event.task_id] = without_long_texts(state, event.position)
    return states


async def task_at(database: Fetching, user_id: str, task_id: int, position: int = _NOW) -> TaskBody | None:
    """Return a user's task at a position, or None; raises what `tasks_at` raises."""
    task = (await tasks_at(database, user_id, [task_id], position)).get(task_id)
    if not isinstance(task, Task):
        return None
    (body,) = await bodies(database, user_id, [task])
    return TaskBody(body=body, version=task.version)


async def bodies(database: Fetching, user_id: str, tasks: Sequence[Task]) -> list[bytes]:
    """Return the JSON of some of a user's tasks, with all their texts."""
    found = await whole(database, [(user_id, task) for task in tasks], TEXTS)
    return [task_body(user_id, task) for task in found]

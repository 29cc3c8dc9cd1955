"""Long lists: first the plan of which tasks they hold, then the tasks, in parts that are read when they can be sent.

Memory holds one part. No snapshot and no connection is held between parts. Each task is shown as it was at the list's
head: from its row if that still has the planned version, otherwise from the ledger.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.evolve import evolve_last
from domain.task import NoTask, Task, TaskState
from event_log.append import Fetching
from event_log.long_texts import left_out, parts, whole, with_data, without_long_texts
from event_log.read import recorded
from read_api.queries import Head, TaskBody, TaskPage, TaskQuery, json_array, place_of
from read_model.body import task_body
from read_model.formats import ROW_FORMAT
from read_model.sorts import Place

PLAN: Final = f"SELECT * FROM tasklog.long_list($1, $2, $3, $4, $5, $6, '{ROW_FORMAT}')"
BODIES: Final = f"SELECT * FROM tasklog.bodies($1, $2, $3, '{ROW_FORMAT}')"
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
            bodies = await self._bodies(database, part)
            yield before + b",".join(bodies)
            before = b","
        yield b"]" if before == b"," else b"[]"

    async def _bodies(self, database: Fetching, part: Sequence[int]) -> list[bytes]:
        ids, versions = [self.ids[n] for n in part], [self.versions[n] for n in part]
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
    (row,) = await database.fetch(PLAN, *place_of(user_id, query))
    states = await tasks_at(database, user_id, row["touched"], row["head"]) if row["touched"] else {}
    changed = [state for state in states.values() if isinstance(state, Task) and query.has(state)]
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
    places = zip(json_array(row["keys"]), row["ids"] or (), strict=True)
    items = list(zip(places, row["versions"] or (), row["sizes"] or (), strict=True))
    added = ((query.order.place(task), task.version, size_of(task)) for task in changed)
    items += [item for item in added if query.is_reached(item[0])]
    if changed:
        items.sort(reverse=query.order.descending)
    page = items[: query.limit]
    last = page[-1][0] if query.limit is not None and len(items) > len(page) else None
    plan = Plan(
        user_id=user_id,
        until=row["head"],
        ids=array("q", [place[1] for place, _, _ in page]),
        versions=array("q", [version for _, version, _ in page]),
        sizes=array("q", [size for _, _, size in page]),
    )
    return plan, last


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

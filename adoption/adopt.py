"""Adopt: read a table once, check all of it, append what the ledger does not have, and compare everything.

Nothing is written before all rows are known to fit. Then each batch is a transaction, and a task that is there is not
appended again: after a kill, or for the rows that are new since, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final, TypeAlias

from adoption.source import Source
from adoption.spool import Spool
from adoption.tasks import RowError, adoptable
from event_log.adoption import adopt, differences
from runtime.database import Database

ShowProgress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows how far a stage is, of how many tasks."""

_SHOWN: Final = 10
"""How many rows of a kind are named."""
_IDS_OF_SOURCE: Final = """
    -- The ids of the source and their users, until this transaction ends.
    CREATE TEMP TABLE adopting (user_id text COLLATE "C", id bigint) ON COMMIT DROP
"""
_TAKEN: Final = """
    -- Ids of the source that the ledger gave to other tasks, and whose they are.
    SELECT a.id, e.user_id FROM pg_temp.adopting a JOIN tasklog.events e ON e.task_id = a.id AND e.version = 1
    WHERE e.user_id <> a.user_id OR e.type <> 'task.adopted' ORDER BY a.id, e.user_id LIMIT 11
"""
_GONE: Final = """
    -- Adopted tasks that the source does not have, the first of them, and how many.
    SELECT e.task_id, count(*) OVER () AS number FROM tasklog.events e
    WHERE e.type = 'task.adopted' AND NOT EXISTS (SELECT FROM pg_temp.adopting a WHERE a.id = e.task_id)
    ORDER BY e.task_id LIMIT 10
"""
_MOVE_IDS: Final = """
    -- Let new tasks get ids behind $1. Until the transaction ends, no id can be assigned.
    SELECT setval('tasklog.task_ids', $1) FROM tasklog.task_ids WHERE last_value - (NOT is_called)::integer < $1
"""


class RefusedError(Exception):
    """The table cannot be adopted as it is, and nothing was written: one sentence, with the rows that are meant."""


@dataclass(kw_only=True, slots=True)
class Adoption:
    """What was adopted.

    `there` are the rows whose tasks were adopted before. Of these, `changed` are different in the source now, and
    `missing` are not in the ledger as they must be, which is a fault. `gone` are adopted tasks that the source does not
    have. Of each kind the first ids are named.
    """

    rows: int = 0
    adopted: int = 0
    there: int = 0
    changed: int = 0
    changed_ids: list[int] = field(default_factory=list)
    gone: int = 0
    gone_ids: list[int] = field(default_factory=list)
    missing: int = 0
    missing_ids: list[int] = field(default_factory=list)

    def note(self, what: str, task_id: int) -> None:
        """Count a task as changed or missing, and name it if it is one of the first."""
        setattr(self, what, getattr(self, what) + 1)
        ids = getattr(self, f"{what}_ids")
        ids += [task_id][: _SHOWN - len(ids)]


async def read(source: Source, spool: Spool, show: ShowProgress) -> None:
    """Read all rows of the source into a spool.

    Raises:
        RefusedError: the ledger cannot hold a row.
    """
    unfit, number = list[str](), 0
    with show("read", source.rows) as advance:
        async for rows in source.read():
            for row in rows:
                try:
                    spool.add(adoptable(row))
                except RowError as error:
                    number += 1
                    unfit += [f"row {row['id']}: {error}"][: _SHOWN - len(unfit)]
            advance(len(rows))
    spool.end()
    if number:
        raise RefusedError(
            f"{number:,} of {source.rows:,} rows do not fit, and nothing was adopted: {_named(unfit, number, '; ')}. "
            "Change them in the source, or adopt a view that does."
        )


async def write(owner: Database, spool: Spool, show: ShowProgress, *, actor: str, request_id: str) -> Adoption:
    """Append the tasks that the ledger does not have, then compare all of them with it.

    Raises:
        RefusedError: the ledger gave ids of the source to other tasks.
        UnavailableError: the database went away; the same command goes on from there.
    """
    done = Adoption(rows=spool.tasks)
    async with owner.transaction("synchronous_commit = on") as connection:
        # Nobody holds an id of the sequence whose event is not committed: the statement waits for those.
        await connection.execute("ALTER SEQUENCE tasklog.task_ids OWNED BY NONE")
        await connection.execute(_MOVE_IDS, spool.highest_id)
    await _look_for_ids(owner, spool, done)
    with show("adopt", spool.tasks) as advance:
        for tasks in spool.batches():
            async with owner.transaction("synchronous_commit = on") as connection:
                done.adopted += await adopt(connection, tasks, actor=actor, request_id=request_id)
            advance(len(tasks))
    with show("compare", spool.tasks) as advance:
        for tasks in spool.batches():
            for task_id, is_adopted in await differences(owner, tasks):
                done.note("changed" if is_adopted else "missing", task_id)
            advance(len(tasks))
    await _look_for_ids(owner, spool, done)
    done.there = done.rows - done.adopted
    return done


async def _look_for_ids(owner: Database, spool: Spool, done: Adoption) -> None:
    """Refuse ids that the ledger gave to other tasks, and find adopted tasks that the source does not have."""
    if not await owner.fetch("SELECT FROM tasklog.streams LIMIT 1"):
        return
    async with owner.transaction("enable_seqscan = on", "work_mem = '64MB'") as connection:
        await connection.execute(_IDS_OF_SOURCE)
        for tasks in spool.batches():
            rows = "".join([f"{task.user_id}\t{task.task_id}\n" for task in tasks]).replace("\\", "\\\\")
            await connection.copy_to_table("adopting", schema_name="pg_temp", source=BytesIO(rows.encode()))
        await connection.execute("ANALYZE pg_temp.adopting")
        taken = [f"{row['id']} (of {row['user_id']})" for row in await connection.fetch(_TAKEN)]
        gone = await connection.fetch(_GONE)
    if taken:
        raise RefusedError(
            f"The ledger has other tasks with ids of the source: {_named(taken[:_SHOWN], len(taken), ', ')}. "
            "Adopt into a new ledger, or a view that gives them ids of their own."
        )
    done.gone, done.gone_ids = (gone[0]["number"] if gone else 0), [row["task_id"] for row in gone]


def _named(rows: list[str], number: int, between: str) -> str:
    return between.join(rows) + (f"{between}…" if number > len(rows) else "")

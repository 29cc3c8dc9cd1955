"""Adopt: read a table once, check all of it, append what the ledger does not have, and compare everything.

Nothing is written before all rows are known to fit. Then each batch is one transaction, and tasks that the ledger
already has are skipped. So the same command continues after a kill, and takes over rows that were added since.
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
from event_log.elsewhere import UserElsewhereError
from runtime.database import Database

ShowProgress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a stage, given its name and its number of tasks; call the result with each number done."""

_SHOWN: Final = 10
"""The most rows or ids that a message names."""
_IDS_OF_SOURCE: Final = """
    -- The source's ids and their users, until this transaction ends.
    CREATE TEMP TABLE adopting (user_id text COLLATE "C", id bigint) ON COMMIT DROP
"""
_TAKEN: Final = """
    -- The source's ids that other tasks in the ledger have, and the users of those tasks.
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
    -- Let new tasks get ids above $1.
    SELECT setval('tasklog.task_ids', $1) FROM tasklog.task_ids WHERE last_value - (NOT is_called)::integer < $1
"""
_RANGE: Final = """
    SELECT seqmin AS first, seqmax AS last FROM pg_sequence WHERE seqrelid = 'tasklog.task_ids'::regclass
"""


class RefusedError(Exception):
    """A table that cannot be adopted as it is; the message names the rows and says what to do."""


@dataclass(kw_only=True, slots=True)
class Adoption:
    """The result of an adoption, in numbers of tasks, with the first ids of each kind.

    `there` were in the ledger before. `changed` differ in the source from what was adopted. `missing` are not in the
    ledger although they should be, which is a fault. `gone` were adopted, and the source no longer has them.
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
        """Count a task as `changed` or `missing`, and keep its id if it is one of the first."""
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
        RefusedError: other tasks in the ledger have ids of the source, or they are out of its range.
        UnavailableError: the database went away; the same command continues from there.
    """
    done = Adoption(rows=spool.tasks)
    await _check_range(owner, spool)
    async with owner.transaction("synchronous_commit = on") as connection:
        # This waits until every id that was taken from the sequence has a committed event, and lets nobody take one.
        await connection.execute("ALTER SEQUENCE tasklog.task_ids OWNED BY NONE")
        await connection.execute(_MOVE_IDS, spool.highest_id)
    await _look_for_ids(owner, spool, done)
    with show("adopt", spool.tasks) as advance:
        for tasks in spool.batches():
            async with owner.transaction("synchronous_commit = on") as connection:
                try:
                    done.adopted += await adopt(connection, tasks, actor=actor, request_id=request_id)
                except UserElsewhereError as error:
                    raise RefusedError(f"{error} has moved to another ledger: adopt into that one.") from None
            advance(len(tasks))
    with show("compare", spool.tasks) as advance:
        for tasks in spool.batches():
            for task_id, is_adopted in await differences(owner, tasks):
                done.note("changed" if is_adopted else "missing", task_id)
            advance(len(tasks))
    await _look_for_ids(owner, spool, done)
    done.there = done.rows - done.adopted
    return done


async def _check_range(owner: Database, spool: Spool) -> None:
    """Refuse ids out of the ledger's range: another ledger could give them, too."""
    (row,) = await owner.fetch(_RANGE)
    if spool.tasks and not (row["first"] <= spool.lowest_id and spool.highest_id <= row["last"]):
        raise RefusedError(
            f"The source has ids from {spool.lowest_id} to {spool.highest_id}, but this ledger's TASK_IDS are from "
            f"{row['first']} to {row['last']}: adopt into a ledger whose range has them."
        )


async def _look_for_ids(owner: Database, spool: Spool, done: Adoption) -> None:
    """Refuse ids that other tasks in the ledger have, and count adopted tasks that the source no longer has."""
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

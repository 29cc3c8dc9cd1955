"""Task ids are given only once, also after a restore or a replication that left the sequence behind."""

from __future__ import annotations

import asyncio

import asyncpg

from command_api.group_commit import CommandQueues
from domain.task import Task
from migrations import upgrade
from projector.task_ids import mend_task_ids
from runtime.database import Database
from tests.integration.commands import CREATE, run, together
from tests.ledger import created
from tests.servers import Database as Addresses

BEHIND = "SELECT setval('tasklog.task_ids', 1)"
"""The state after logical replication, or after restoring data alone."""
LAST = "SELECT last_value FROM tasklog.task_ids"


async def test_a_migration_moves_a_sequence_that_is_behind_forward(
    database: Addresses, owner: asyncpg.Connection, queue: CommandQueues
) -> None:
    highest = [await created(owner, user) for user in ("alice", "bob", "carol")][-1]
    await owner.execute(BEHIND)
    await asyncio.to_thread(upgrade, database.owner)
    task = await run(queue, CREATE)
    assert isinstance(task, Task)
    assert task.id == highest + 1


async def test_a_projector_moves_it_forward_at_its_start_and_never_back(
    owner: asyncpg.Connection, projector: Database, queue: CommandQueues
) -> None:
    highest = [await created(owner, user) for user in ("alice", "bob", "carol")][-1]
    await owner.execute(BEHIND)
    await mend_task_ids(projector)
    assert await owner.fetchval(LAST) == highest
    await owner.execute("SELECT setval('tasklog.task_ids', 1000)")
    await mend_task_ids(projector)
    task = await run(queue, CREATE)
    assert isinstance(task, Task)
    assert task.id == 1001


async def test_nobody_gets_an_id_twice_while_it_is_mended(
    owner: asyncpg.Connection, projector: Database, queue: CommandQueues
) -> None:
    for _ in range(5):
        await created(owner, "alice")
    creations = [run(queue, CREATE, user=f"user-{n}") for n in range(40)]
    mending = [mend_task_ids(projector) for _ in range(5)]
    await together(*creations, *mending)
    count = "SELECT count(*) = 45 AND count(DISTINCT task_id) = 45 FROM tasklog.events"
    assert await owner.fetchval(count)

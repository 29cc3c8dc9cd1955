"""Plans that were made while tables were small stay good while they grow: a new user does not add reads for others.

Seen to fail, directly and behind PgBouncer: with `enable_seqscan=on`, both by the scans and by what was read. Rebuilds:
with a join of the rebuilt users with their checkpoints in REBUILT.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg

from command_api.queues import CommandQueues
from domain.commands import EditTask, ToggleTask
from domain.task import Task
from projector.catch_up import catch_up
from projector.rebuild import rebuild, rebuild_batch, request_rebuild
from read_api.queries import TaskQuery, get_tasks
from runtime.database import Database
from tests.integration.commands import CREATE, run
from tests.ledger import created, list_tasks

SMALL: Final = 25
ROUNDS: Final = 12
SIGN_UPS: Final = 64
"""New users in a round."""

_TABLES: Final = "streams", "events", "checkpoints", "tasks", "idempotency_keys"
_SCANS: Final = f"""
    SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'tasklog' AND relname IN {_TABLES}
"""
_READ: Final = """
    -- Index entries and rows that were read.
    SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'tasklog')
         + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'tasklog')
"""


async def leave_alone(owner: asyncpg.Connection) -> None:
    """Keep autovacuum off the tables: while it analyses, dead index entries stay, and count as read."""
    for table in _TABLES:
        await owner.execute(f"ALTER TABLE tasklog.{table} SET (autovacuum_enabled = off)")


async def flushed(owner: asyncpg.Connection, *databases: Database) -> None:
    """Make every session report its counts at the end of a transaction.

    The transactions are open at the same time: PgBouncer would lend the same session to one after the other.
    """
    for database in databases:
        async with AsyncExitStack() as transactions:
            for holder in database.pool._holders:
                if (connection := holder._con) is not None:
                    await transactions.enter_async_context(connection.transaction())
                    await connection.execute("SELECT pg_stat_force_next_flush()")
    await owner.execute("SELECT pg_stat_clear_snapshot()")


async def sign_up(queue: CommandQueues, reader: Database, user: str) -> None:
    task = await run(queue, CREATE, user=user)
    assert isinstance(task, Task)
    await run(queue, ToggleTask(), task.id, user=user)
    await run(queue, EditTask(title="Oat"), task.id, user=user)
    assert len(await get_tasks(reader, [(user, task.id)])) == 1
    await list_tasks(reader, user, TaskQuery())
    await list_tasks(reader, user, TaskQuery(sort="title", limit=5))


async def grow(name: str, number: int, queue: CommandQueues, projector: Database, reader: Database) -> None:
    await asyncio.gather(*(sign_up(queue, reader, f"{name}-{n}") for n in range(number)))
    assert await catch_up(projector) == 3 * number


async def test_twenty_times_the_users_are_not_twenty_times_the_work(
    queue: CommandQueues, writer: Database, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    await leave_alone(owner)
    for n in range(8):  # plans are kept from the sixth time on
        await grow(f"small-{n}", SMALL // 5, queue, projector, reader)
    await owner.execute("ANALYZE")
    databases = writer, projector, reader
    await flushed(owner, *databases)
    scans: Any = await owner.fetch(_SCANS)
    read: list[int] = []
    for n in range(ROUNDS):
        await flushed(owner, *databases)
        before = await owner.fetchval(_READ)
        await grow(f"round-{n}", SIGN_UPS, queue, projector, reader)
        await flushed(owner, *databases)
        read.append(int(await owner.fetchval(_READ) - before))
    assert await owner.fetch(_SCANS) == scans
    # How commands share batches differs from round to round; work that grew with the users would be in all of the last.
    assert min(read[-3:]) < 1.3 * max(read[:3])
    assert max(read) < SIGN_UPS * 3 * 60


async def test_a_rebuild_of_many_users_at_once_reads_as_much_for_each_as_one_of_few(
    writer: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    await leave_alone(owner)
    few, many = 20, 400
    for n in range(few + many):
        await created(writer, f"user-{n:03}")
    await catch_up(projector)
    await owner.execute("ANALYZE")
    for _ in range(8):
        await request_rebuild(projector, "user-000")
        await rebuild(projector)
    await request_rebuild(projector)
    await flushed(owner, writer)
    read = []
    for users in (few, many):
        await flushed(owner, projector)
        before = await owner.fetchval(_READ)
        assert (await rebuild_batch(projector, users)).users == users
        await flushed(owner, projector)
        read.append(float(await owner.fetchval(_READ) - before) / users)
    assert read[1] < 1.5 * read[0], read

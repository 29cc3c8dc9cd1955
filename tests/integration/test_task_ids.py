"""Task ids are given only once, also after a restore or a replication that left the sequence behind."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from asyncpg.exceptions import SequenceGeneratorLimitExceededError

from command_api.queues import CommandQueues
from domain.task import Task
from migrations import upgrade
from projector.task_ids import mend_task_ids
from runtime.catalog import PLAIN_NAMES, differences
from runtime.database import Database
from runtime.settings import SettingsError
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


def bounded(database: Addresses, first: int, last: int) -> None:
    upgrade(database.owner, list(database.service_urls.values()), task_ids=(first, last))


async def test_a_ledger_gives_ids_of_its_range(database: Addresses, queue: CommandQueues) -> None:
    await asyncio.to_thread(bounded, database, 1000, 1999)
    ids = [(await run(queue, CREATE)).id for _ in range(3)]  # type: ignore[union-attr]
    assert ids == [1000, 1001, 1002]
    await asyncio.to_thread(upgrade, database.owner, list(database.service_urls.values()))
    assert (await run(queue, CREATE)).id == 1003  # type: ignore[union-attr] # the range stays without the setting


async def test_a_range_that_is_made_wider_goes_on_where_it_was(database: Addresses, queue: CommandQueues) -> None:
    await asyncio.to_thread(bounded, database, 1000, 1001)
    for _ in range(2):
        await run(queue, CREATE)
    with pytest.raises(SequenceGeneratorLimitExceededError):
        await run(queue, CREATE)
    await asyncio.to_thread(bounded, database, 1000, 1999)
    assert (await run(queue, CREATE)).id == 1002  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wanted",
    [
        (1, 1002, "ids up to 1003 were given before"),
        (1001, 5000, "the ledger holds task 1000, which is outside"),
        (5000, 5999, "the ledger holds task 1000, which is outside"),
        (1000, 70_000, "task 60000 came from another ledger, so the ranges of both would overlap"),
    ],
)
async def test_a_range_that_does_not_fit_the_ledger_is_refused(
    database: Addresses, owner: asyncpg.Connection, queue: CommandQueues, wanted: tuple[int, int, str]
) -> None:
    """Tasks of other ledgers may be outside. Seen to fail without each of the three looks."""
    first, last, reason = wanted
    await asyncio.to_thread(bounded, database, 1000, 1999)
    for _ in range(3):
        await run(queue, CREATE)
    await owner.execute("SELECT nextval('tasklog.task_ids')")  # given, but lost
    await owner.execute("INSERT INTO tasklog.arrived_tasks (task_id, user_id) VALUES (60000, 'carol')")
    with pytest.raises(SettingsError, match=f"TASK_IDS={first}-{last} does not fit .{reason}"):
        await asyncio.to_thread(bounded, database, first, last)
    assert (await run(queue, CREATE)).id == 1004  # type: ignore[union-attr]
    assert await differences_of(owner) == []


async def differences_of(owner: asyncpg.Connection) -> list[str]:
    """Return what of the schema is not as the last migration left it."""
    async with owner.transaction():
        await owner.execute(f"SET LOCAL {PLAIN_NAMES}")
        return list(await differences(owner))

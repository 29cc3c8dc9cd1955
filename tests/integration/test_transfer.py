"""Rows that are moved to another database are compared there: what arrives otherwise is found."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from audit.transfer import TransferError, refuse_other_databases, tables_of, transfer
from command_api.queues import CommandQueues
from projector.catch_up import catch_up
from runtime.database import Database
from tests.integration.commands import CREATE, run
from tests.servers import Database as Addresses
from tests.servers import Servers

CHANGED = """
    CREATE FUNCTION public.change() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN new.title := new.title || ''!''; RETURN new; END';
    CREATE TRIGGER change BEFORE INSERT ON tasklog.tasks FOR EACH ROW EXECUTE FUNCTION public.change()
"""


@pytest.fixture
def other(servers: Servers) -> Iterator[Addresses]:
    with servers.cloned() as cloned:
        yield cloned


@pytest.fixture
async def filled(owner: asyncpg.Connection, queue: CommandQueues, projector: Database) -> asyncpg.Connection:
    """Return the owner's connection to a ledger with two tasks of each of two users, one not yet projected."""
    for user in ("alice", "bob"):
        await run(queue, CREATE, user=user)
    await catch_up(projector)
    for user in ("alice", "bob"):
        await run(queue, CREATE, user=user)
    return owner


async def test_all_rows_and_the_next_id_are_the_same_afterwards(filled: asyncpg.Connection, other: Addresses) -> None:
    target = await asyncpg.connect(other.owner)
    rows = 0
    tables = await tables_of(filled, target)

    def progress(more: int) -> None:
        nonlocal rows
        rows += more

    await transfer(filled, target, tables, progress)
    for table in ("streams", "events", "tasks", "checkpoints", "idempotency_keys"):
        query = f"SELECT * FROM tasklog.{table} ORDER BY 1, 2"
        assert await target.fetch(query) == await filled.fetch(query)
    assert rows == 2 * (2 + 4 + 2 + 2)
    next_id = "SELECT nextval('tasklog.task_ids')"
    assert await target.fetchval(next_id) == await filled.fetchval(next_id) == 5
    await target.close()


async def test_a_row_that_arrives_otherwise_is_found(filled: asyncpg.Connection, other: Addresses) -> None:
    target = await asyncpg.connect(other.owner)
    await target.execute(CHANGED)
    with pytest.raises(TransferError, match=r"tasklog\.tasks did not arrive as it was"):
        await transfer(filled, target, await tables_of(filled, target))
    await target.close()


async def test_a_ledger_of_a_newer_version_is_refused(filled: asyncpg.Connection, other: Addresses) -> None:
    target = await asyncpg.connect(other.owner)
    await filled.execute("ALTER TABLE tasklog.tasks ADD COLUMN of_tomorrow text")
    with pytest.raises(TransferError, match="a newer version of Tasklog"):
        await tables_of(filled, target)
    await target.close()


async def test_what_would_be_left_behind_is_refused(filled: asyncpg.Connection, other: Addresses) -> None:
    target = await asyncpg.connect(other.owner)
    await filled.execute("CREATE TABLE public.notes (text text)")
    with pytest.raises(TransferError, match=r"also holds the table public\.notes, which is not Tasklog's"):
        await tables_of(filled, target)
    with pytest.raises(TransferError, match="also holds the database tasklog"):
        await refuse_other_databases(filled)
    await target.close()

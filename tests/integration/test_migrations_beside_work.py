"""A migration beside running services: nobody waits long, nothing in use disappears, and a second run changes nothing.

Seen to fail on release 1.0.0: reads wait behind the ALTER that waits for the dump, every function gets a new oid each
time, and callers of the old one get "cache lookup failed for function".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

import migrations
from event_log.append import append
from read_api.queries import TaskQuery
from runtime.database import Database, UnavailableError
from runtime.settings import SettingsError
from tests.ledger import connections, created, list_tasks, of, waits_for_lock, within
from tests.servers import Database as Addresses
from tests.servers import eventually_async

CATALOG = {
    "functions": "SELECT oid, xmin::text, ctid::text FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace",
    "tables": "SELECT oid, xmin::text FROM pg_class WHERE relnamespace = 'tasklog'::regnamespace",
    "columns": "SELECT attrelid, attnum, xmin::text FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class"
    " WHERE relnamespace = 'tasklog'::regnamespace)",
    "schema": "SELECT oid, xmin::text FROM pg_namespace WHERE nspname = 'tasklog'",
    "comments": "SELECT objoid, xmin::text FROM pg_description d WHERE objoid = 'tasklog'::regnamespace OR objoid IN"
    " (SELECT oid FROM pg_class WHERE relnamespace = 'tasklog'::regnamespace)",
    "rights on the database": "SELECT oid, xmin::text FROM pg_database WHERE datname = current_database()",
}
OIDS = "SELECT oid, proname::text FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace"
DEFINITIONS = "SELECT proname::text, pg_get_functiondef(oid), proacl::text FROM pg_proc WHERE oid = ANY ($1::oid[])"
OTHER_BODY = """
    CREATE OR REPLACE FUNCTION tasklog.mark(hash bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT 'somebody else''s ' || encode(substring($1 FOR 6), 'hex')
    $$
"""


@asynccontextmanager
async def dump_of(url: str, *tables: str) -> AsyncIterator[None]:
    """Hold the locks of a pg_dump: one on each table, in an open transaction."""
    async with connections(url, 1) as (connection,), connection.transaction():
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
        yield


async def migrated(database: Addresses) -> None:
    await asyncio.to_thread(migrations.upgrade, database.owner, list(database.service_urls.values()))


async def test_reads_and_writes_go_on_while_a_migration_waits_for_a_dump(
    database: Addresses, owner: asyncpg.Connection, reader: Database, writer: Database
) -> None:
    await asyncio.to_thread(migrations.downgrade, database.owner, "0001")
    async with connections(database.owner, 1) as (watch,):
        async with dump_of(database.owner, "tasklog.checkpoints", "tasklog.streams", "tasklog.tasks"):
            migration = asyncio.create_task(migrated(database))
            await eventually_async(lambda: waits_for_lock(watch))
            for number in range(20):
                began = time.monotonic()
                assert len(await within(10, reader_tasks(watch))) == 0
                assert time.monotonic() - began < 4, f"read {number} waited behind the migration"
                await asyncio.sleep(0.05)
            assert not migration.done()
        await within(60, migration)
    assert await owner.fetchval("SELECT count(fault_reason) FROM tasklog.checkpoints") == 0


async def reader_tasks(connection: asyncpg.Connection) -> list[Any]:
    """Read checkpoints, streams and tasks, as the read side does."""
    rows = await connection.fetch(
        "SELECT t.* FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)"
        " JOIN tasklog.tasks t USING (user_id) WHERE s.user_id = 'nobody'"
    )
    return list(rows)


async def test_a_migration_that_cannot_get_its_locks_gives_up_in_one_sentence_that_names_who_holds_them(
    database: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.locks.PATIENCE_SECONDS", 1.0)
    await asyncio.to_thread(migrations.downgrade, database.owner, "0001")
    async with connections(database.owner, 1) as (dump,):
        await dump.execute("SET application_name = 'pg_dump'")
        async with dump.transaction():
            await dump.execute("LOCK TABLE tasklog.checkpoints IN ACCESS SHARE MODE")
            with pytest.raises(SettingsError, match=r"pg_dump.*\./run migrate again") as told:
                await within(30, migrated(database))
    assert "\n" not in str(told.value)
    await migrated(database)


@pytest.mark.parametrize("what", CATALOG)
async def test_a_second_migration_leaves_every_row_of_the_catalog_alone(
    database: Addresses, owner: asyncpg.Connection, what: str
) -> None:
    await migrated(database)
    before = sorted(map(tuple, await owner.fetch(CATALOG[what])))
    await migrated(database)
    assert sorted(map(tuple, await owner.fetch(CATALOG[what]))) == before
    assert before or what == "comments"


async def test_a_second_migration_only_reads_so_it_waits_for_no_writer(
    database: Addresses, owner: asyncpg.Connection
) -> None:
    await migrated(database)
    async with owner.transaction():
        await owner.execute(
            "LOCK TABLE tasklog.events, tasklog.streams, tasklog.tasks, tasklog.checkpoints, tasklog.idempotency_keys"
            " IN EXCLUSIVE MODE"
        )
        await within(20, migrated(database))


async def test_what_was_changed_by_hand_is_put_right_and_what_was_not_keeps_its_identity(
    database: Addresses, owner: asyncpg.Connection
) -> None:
    functions = sorted(map(tuple, await owner.fetch(OIDS)))
    oids = [oid for oid, _ in functions]
    installed = sorted(map(tuple, await owner.fetch(DEFINITIONS, oids)))
    await owner.execute(OTHER_BODY)
    await owner.execute("GRANT EXECUTE ON FUNCTION tasklog.take_head(text, boolean) TO tasklog_reader")
    await owner.execute("REVOKE EXECUTE ON FUNCTION tasklog.heads(text[]) FROM tasklog_reader")
    assert sorted(map(tuple, await owner.fetch(DEFINITIONS, oids))) != installed
    await migrated(database)
    assert sorted(map(tuple, await owner.fetch(OIDS))) == functions
    assert sorted(map(tuple, await owner.fetch(DEFINITIONS, oids))) == installed


async def test_no_call_fails_while_functions_are_replaced_again_and_again(
    database: Addresses, owner: asyncpg.Connection, writer: Database, reader: Database
) -> None:
    await created(writer, "alice")
    stop = asyncio.Event()
    answered = 0

    async def calling(number: int) -> None:
        nonlocal answered
        while not stop.is_set():
            await append(writer, [of(f"user-{number}")], wait=True)
            assert b"Milk" in (await list_tasks(reader, "alice", TaskQuery())).body
            answered += 1

    callers = [asyncio.create_task(calling(number)) for number in range(4)]
    for _ in range(8):
        await owner.execute(OTHER_BODY)
        await migrated(database)
        assert not [caller for caller in callers if caller.done()]
    stop.set()
    await asyncio.gather(*callers)
    assert answered >= 8


@pytest.mark.parametrize(
    "message",
    ["cache lookup failed for function 16401", "tuple concurrently updated", "could not open relation with OID 16402"],
)
async def test_what_a_statement_meets_while_the_schema_changes_under_it_is_an_unavailable_database(
    owner: asyncpg.Connection, projector: Database, message: str
) -> None:
    await owner.execute(
        "CREATE FUNCTION public.changing(message text) RETURNS void LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = message; END $$"
    )
    with pytest.raises(UnavailableError):
        await projector.fetch("SELECT public.changing($1)", message)
    with pytest.raises(UnavailableError):
        async with projector.transaction() as connection:
            await connection.fetch("SELECT public.changing($1)", message)

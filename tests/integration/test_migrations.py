"""Migrations create the tables that the code declares, go up twice and down again, and an old schema is noticed.

Seen to fail: with an index left out of the revision, with a column of another collation, without the check of the
schema in `open_database`, and with DATABASE_POOLER not passed on to the migration.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

import migrations
from event_log.tables import SCHEMA, metadata
from read_model.tables import tasks
from runtime.database import open_database
from runtime.database_url import Address
from runtime.settings import Settings, SettingsError
from tests.ledger import connections, created
from tests.pgbouncer import PgBouncer
from tests.servers import Database as Addresses
from tests.servers import Servers, run_async

COLUMNS = """
    SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           CASE WHEN a.attcollation <> t.typcollation THEN o.collname::text END, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation o ON o.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND a.attnum > 0
      AND c.relname <> 'alembic_version' ORDER BY 1, 2
"""
INDEXES = """
    SELECT tablename::text, replace(indexdef, $1 || '.', ''), c.contype::text
    FROM pg_indexes LEFT JOIN pg_constraint c ON c.conindid = format('%I.%I', schemaname, indexname)::regclass
    WHERE schemaname = $1 AND tablename <> 'alembic_version' ORDER BY 1, 2
"""
OPTIONS = """
    SELECT relname::text, reloptions FROM pg_class
    WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'S') AND relname <> 'alembic_version' ORDER BY 1
"""
NO_NAME = "no-such-host." * 20 + "invalid"
"""Too long for a host's name, so that no name server is asked, which may be slow."""
LEFT = """
    SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('tasklog') AND relname !~ '^alembic_version'
    UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = to_regnamespace('tasklog')
"""


@pytest.fixture
def empty(servers: Servers) -> Iterator[Addresses]:
    """Yield an empty database."""
    name = "tasklog_not_migrated"
    servers.execute(f"CREATE DATABASE {name}")
    yield servers.database(name)
    servers.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_alembic_finds_no_difference_between_the_migrated_and_the_declared_tables(database: Addresses) -> None:
    assert tasks.metadata is metadata
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database.owner))
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()


def _differences(connection: sa.Connection) -> list[Any]:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "schema" or name == SCHEMA

    options = {"include_schemas": True, "include_name": ours, "compare_type": True, "compare_server_default": True}
    options["version_table_schema"] = SCHEMA
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


@pytest.mark.parametrize("query", [COLUMNS, INDEXES, OPTIONS], ids=["columns", "indexes", "storage"])
async def test_the_catalog_shows_the_declared_tables_to_the_last_collation(
    database: Addresses, owner: asyncpg.Connection, query: str
) -> None:
    """Alembic does not compare everything, so the declared tables are created beside the migrated ones."""
    beside = sa.MetaData(schema="declared")
    for table in metadata.tables.values():
        table.to_metadata(beside, schema="declared")
    sa.Sequence("task_ids", metadata=beside, schema="declared")
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(database.owner))
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("CREATE SCHEMA declared")
            await connection.run_sync(beside.create_all)
    finally:
        await engine.dispose()
    migrated = [tuple(row) for row in await owner.fetch(query, SCHEMA)]
    assert migrated == [tuple(row) for row in await owner.fetch(query, "declared")]
    assert len(migrated) >= len(metadata.tables)


async def test_users_and_titles_are_compared_byte_by_byte(owner: asyncpg.Connection) -> None:
    """The merge of rows and tail in Python relies on it."""
    rows = await owner.fetch(COLUMNS, SCHEMA)
    collations = {(row[0], row[1]): row[4] for row in rows if row[1] in {"user_id", "title_key"}}
    assert set(collations.values()) == {"C"}
    assert len(collations) == 9


def test_a_second_upgrade_changes_nothing(database: Addresses) -> None:
    before = run_async(_kept(database))
    migrations.upgrade(database.owner)
    assert run_async(_kept(database)) == before


async def _kept(database: Addresses) -> list[Any]:
    """Return an event that was made before, and what there is now."""
    async with connections(database.owner, 1) as (connection,):
        if not await connection.fetchval("SELECT count(*) FROM tasklog.events"):
            await created(connection, "alice")
        kept: list[Any] = [await connection.fetch(query, SCHEMA) for query in (COLUMNS, INDEXES, OPTIONS)]
        return [*kept, await connection.fetch(LEFT + " ORDER BY 1"), await connection.fetch("TABLE tasklog.events")]


def test_a_downgrade_leaves_nothing_and_an_upgrade_brings_it_back(empty: Addresses) -> None:
    migrations.upgrade(empty.owner)
    assert "append" in _names(empty)
    migrations.downgrade(empty.owner)
    assert _names(empty) == set()
    with pytest.raises(SettingsError, match=r"\./run migrate"):
        run_async(_open(empty.writer))
    migrations.upgrade(empty.owner, list(empty.service_urls.values()))
    assert {"append", "events", "tasks_by_title"} <= _names(empty)
    run_async(_open(empty.writer))


def test_migrations_through_a_pooler_leave_no_statement_in_each_others_way(
    empty: Addresses, pgbouncer: PgBouncer
) -> None:
    """Each process numbers its statements from one, and gets the server connection of the process before it."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tasklog", "migrate"],
            env={**os.environ, "DATABASE_URL": pgbouncer.url(empty.owner), "DATABASE_POOLER": "yes"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _names(database: Addresses) -> set[str]:
    return {row[0] for row in database.execute(LEFT)}


async def _open(url: str) -> None:
    async with open_database(Settings(_env_file=None, command_database_url=url), "writer"):
        pass


@pytest.mark.parametrize(
    "change",
    [
        "COMMENT ON SEQUENCE tasklog.task_ids IS 'tasklog 0123456789ab at 0001 for 0001'",
        "COMMENT ON SEQUENCE tasklog.task_ids IS NULL",
    ],
)
async def test_an_old_schema_is_one_sentence_at_the_start(
    settings: Settings, owner: asyncpg.Connection, change: str
) -> None:
    await owner.execute(change)
    with pytest.raises(SettingsError) as raised:
        async with open_database(settings, "writer"):
            pass
    sentence = str(raised.value)
    assert "./run migrate" in sentence
    assert sentence.count(".") - sentence.count("./") == 1


def test_a_database_that_was_never_migrated_is_the_same_sentence(empty: Addresses) -> None:
    with pytest.raises(SettingsError, match=r"\./run migrate"):
        run_async(_open(empty.writer))


@pytest.mark.parametrize(
    ("rights", "owns", "reason"),
    [("", True, "role"), ("CREATEROLE", True, "role"), ("CREATEROLE", False, "database")],
    ids=["an owner without CREATEROLE", "roles of another", "no owner"],
)
def test_a_login_that_may_not_migrate_is_one_sentence(
    servers: Servers, rights: str, reason: str, *, owns: bool
) -> None:
    if rights and owns and int(servers.execute("SHOW server_version_num")[0][0]) < 160_000:
        pytest.skip("before Postgres 16 CREATEROLE lets a login change any role")
    name = "tasklog_of_somebody"
    servers.execute(f"CREATE ROLE {name} LOGIN {rights} PASSWORD 'hunter2'")
    servers.execute(f"CREATE DATABASE {name} {f'OWNER {name}' if owns else ''}")
    try:
        owner = servers.database(name).owner
        parts = urlsplit(owner)
        url = urlunsplit(parts._replace(netloc=f"{name}:hunter2@{parts.netloc.rpartition('@')[2]}"))
        with pytest.raises(SettingsError, match=rf"may not migrate \(.*{reason}.*CREATEROLE") as refused:
            migrations.upgrade(url)
        assert "hunter2" not in str(refused.value)
        assert "\n" not in str(refused.value)
    finally:
        servers.execute(f"DROP DATABASE {name} WITH (FORCE)")
        servers.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("role", ["tasklog_of_nobody", "pg_monitor"])
def test_a_role_that_is_not_there_or_not_granted_is_a_database_to_migrate(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    """The owner of a database that was never migrated switches to a role that only `migrate` creates or grants."""
    name = "tasklog_plain"
    servers.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
    try:
        parts = urlsplit(servers.postgres_url)
        url = urlunsplit(parts._replace(netloc=f"{name}:hunter2@{parts.netloc.rpartition('@')[2]}"))

        async def opened() -> None:
            settings = Settings(_env_file=None, database_url=url)
            async with open_database(settings, "writer"):
                pass

        taken = Address(url=url, pooled=False, role=role)
        monkeypatch.setattr("runtime.database.service_address", lambda *_: taken)
        with pytest.raises(SettingsError, match=r"\./run migrate"):
            run_async(opened())
    finally:
        servers.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("nobody@127.0.0.1:1/d", "nothing listens there"),
        ("nobody@localhost:1/d", "nothing listens there"),
        pytest.param(f"nobody@{NO_NAME}/d", "host not found", id="no name"),
        ("nobody@/d?host=/nonexistent", "nothing listens there"),
    ],
)
def test_who_cannot_connect_reads_why_in_the_same_words_everywhere(where: str, reason: str) -> None:
    url = f"postgresql://{where}"
    with pytest.raises(SettingsError, match=reason) as migrating:
        migrations.upgrade(url)
    with pytest.raises(SettingsError, match=reason) as serving:
        run_async(_open(url))
    assert str(serving.value) == str(migrating.value).replace("DATABASE_URL", "COMMAND_DATABASE_URL")


def test_a_database_that_is_not_there_is_said_to_be_none(servers: Servers) -> None:
    with pytest.raises(SettingsError, match="no such database"):
        migrations.upgrade(servers.database("tasklog_nowhere").owner)
    with pytest.raises(SettingsError, match="no such database"):
        run_async(_open(servers.database("tasklog_nowhere").owner))


@pytest.mark.parametrize("command", ["migrate", "status", "serve"])
def test_the_services_urls_alone_are_not_taken_for_the_embedded_database(
    database: Addresses, tmp_path: Path, command: str
) -> None:
    data_dir = tmp_path / "data"
    url = f"postgresql://nobody:hunter2@127.0.0.1:1/{database.name}"
    env = {**os.environ, "COMMAND_DATABASE_URL": url, "DATA_DIR": str(data_dir), "API_PORT": "0"}
    if command == "serve":
        env |= {"BETTER_AUTH_SECRET": "s" * 32}
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", command], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "hunter2" not in done.stderr
    assert not (data_dir / "postgres").exists()

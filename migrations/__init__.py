"""The database schema: Alembic revisions, then the SQL functions and the rights of each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from event_log.tables import metadata
from read_model import tables as read_model
from runtime.catalog import PLAIN_NAMES, catalog
from runtime.database_url import Address, address
from runtime.poolers import settled
from runtime.refusals import refusal
from runtime.schema import FUNCTIONS, RIGHTS, schema_version
from runtime.settings import Pooler, SettingsError

_ONE_AT_A_TIME = 7_461_636_531
assert read_model.tasks.metadata is metadata  # imported for its tables, which are part of the same schema
_TABLES = {table.name for table in metadata.tables.values()} | {"task_ids", "alembic_version"}
_DROP_FUNCTIONS = """
    -- A function cannot be replaced by one that returns something else.
    DO $$ DECLARE f regprocedure; BEGIN
        FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'tasklog'::regnamespace LOOP
            EXECUTE format('DROP ROUTINE %s', f);
        END LOOP;
    END $$
"""


def upgrade(url: str, service_urls: Sequence[str] = (), *, pooler: Pooler = "auto") -> None:
    """Bring the database at `url` (its owner's) to this version's schema, in one transaction.

    `service_urls` are the services' own; where they carry a password, it is set for their role. `pooler` is the
    setting DATABASE_POOLER.

    Raises:
        SettingsError: the database does not answer or refuses.
    """
    try:
        asyncio.run(_upgrade(address(url, pooler=pooler), service_urls))
    except (asyncpg.InsufficientPrivilegeError, DBAPIError) as error:
        refused = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
        if not isinstance(refused, asyncpg.InsufficientPrivilegeError):
            raise
        message = (
            f"The login of DATABASE_URL may not migrate ({str(refused).splitlines()[0]}): it must own the database "
            "and have CREATEROLE, and be granted the tasklog_* roles WITH ADMIN OPTION where another login made them."
        )
        raise SettingsError(message) from None


def downgrade(url: str, revision: str = "base") -> None:
    """Go back to an earlier revision's tables; to none, with all that is in them."""
    asyncio.run(_downgrade(address(url), revision))


async def _upgrade(where: Address, service_urls: Sequence[str]) -> None:
    async with _transaction(where) as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(_DROP_FUNCTIONS)
        for path in (*FUNCTIONS, RIGHTS):
            await driver.execute(path.read_text())
        await driver.execute("SELECT tasklog.mend_task_ids()")
        await driver.execute(f"COMMENT ON SCHEMA tasklog IS '{schema_version()}'")
        for service_url in service_urls:
            await _set_password(driver, service_url)
        await driver.execute(f"SET LOCAL {PLAIN_NAMES}")
        await driver.execute(await catalog(driver, _TABLES))


async def _downgrade(where: Address, revision: str) -> None:
    async with _transaction(where) as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), revision))
        await connection.exec_driver_sql("COMMENT ON SCHEMA tasklog IS NULL")


async def _set_password(driver: Any, service_url: str) -> None:
    parts = urlsplit(service_url)
    if parts.username and parts.username.startswith("tasklog_") and parts.password:
        role, password = unquote(parts.username), unquote(parts.password)
        statement = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"
        await driver.execute(await driver.fetchval(statement, role, password))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


@asynccontextmanager
async def _transaction(where: Address) -> AsyncIterator[AsyncConnection]:
    async def connect() -> asyncpg.Connection:
        try:
            cached = 0 if where.pooled else 100
            return await asyncpg.connect(where.url, ssl=where.tls, statement_cache_size=cached, timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
            raise refusal("DATABASE_URL", error) from None

    where = await settled(where, "DATABASE_URL")
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()

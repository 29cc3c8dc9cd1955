"""The database schema: Alembic revisions, then the SQL functions and the rights of each role.

The schema changes while services run. Each revision is a short transaction that waits for a lock only for an instant,
then tries again. What is already right is left alone; what running services use keeps its name and its oid.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from migrations.indexes import build_indexes
from migrations.install import install, is_installed, set_passwords
from migrations.locks import ONE_AT_A_TIME, SETTINGS, with_patience
from migrations.task_ids import bound_task_ids
from runtime import sessions
from runtime.database_url import Address, address
from runtime.poolers import settled
from runtime.refusals import causes, is_database_error, reason_of, refusal
from runtime.schema import INSTALLED, check_database
from runtime.settings import Pooler, SettingsError

_DATABASE_URL: Final = "DATABASE_URL"
_SESSION: Final = {
    "application_name": "tasklog migrate",
    "search_path": "pg_catalog, pg_temp",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_REVISION: Final = """
    SELECT version_num FROM tasklog.alembic_version
"""


class NewerSchemaError(SettingsError):
    """The database has the schema of a newer version."""


def upgrade(
    url: str,
    service_urls: Sequence[str] = (),
    *,
    pooler: Pooler = "auto",
    task_ids: tuple[int, int] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Bring the database at `url` (its owner's) to this version's schema, while services run.

    `service_urls` are the services' own; a password in one is set for its role. `pooler` is the setting
    DATABASE_POOLER, `task_ids` the setting TASK_IDS: None leaves the range as it is. `tell` is called once with a
    sentence about what the migration waits for.

    Raises:
        NewerSchemaError: the schema is a newer version's.
        SettingsError: the database does not answer, refuses, or others lock its tables for too long; or the ledger does
            not fit into the range.
    """
    try:
        asyncio.run(_upgrade(address(url, pooler=pooler), service_urls, task_ids, tell))
    except Exception as error:
        if not is_database_error(error):
            raise
        raise _refusal(error) from None


def _refusal(error: BaseException) -> SettingsError:
    refused = next((cause for cause in causes(error) if isinstance(cause, asyncpg.InsufficientPrivilegeError)), None)
    if refused is None:
        return SettingsError(
            f"The database of {_DATABASE_URL} cannot be migrated ({reason_of(error)}): nothing is half done; fix that "
            "and run ./run migrate again."
        )
    return SettingsError(
        f"The login of {_DATABASE_URL} may not migrate ({str(refused).splitlines()[0]}): it must own the database and "
        "have CREATEROLE, and be granted the tasklog_* roles WITH ADMIN OPTION if another login created them."
    )


def downgrade(url: str, revision: str = "base") -> None:
    """Go back to an earlier revision; `base` removes all tables and their data."""
    asyncio.run(_downgrade(address(url), revision))


async def _upgrade(
    where: Address, service_urls: Sequence[str], task_ids: tuple[int, int] | None, tell: Callable[[str], None]
) -> None:
    where = await settled(where, _DATABASE_URL)
    connection = await _connect(where)
    try:
        row = await connection.fetchrow(INSTALLED)
        check_database(_DATABASE_URL, row["encoding"], row["version"])
        patiently = partial(with_patience, connection, tell)
        while (revision := await _next_revision(connection)) is not None:
            await build_indexes(connection, revision.module)
            await patiently(lambda: _step(where))
        if task_ids is not None:
            await patiently(lambda: bound_task_ids(connection, task_ids))
        if not await is_installed(connection, service_urls):
            await patiently(lambda: install(connection, service_urls))
        await connection.execute("SELECT tasklog.mend_task_ids()")
        await patiently(lambda: set_passwords(connection, service_urls))
    finally:
        await connection.close(timeout=5)


async def _next_revision(connection: Any) -> Any:
    """Return the next revision to apply, or None at the newest one.

    Raises:
        NewerSchemaError: the database is at a revision that this code does not know.
    """
    there = await connection.fetchval("SELECT to_regclass('tasklog.alembic_version')") is not None
    current = await connection.fetchval(_REVISION) if there else None
    scripts = ScriptDirectory.from_config(_config())
    known = [script.revision for script in scripts.walk_revisions()]
    if current is not None and current not in known:
        raise NewerSchemaError(
            f"The database has the schema of a newer version of Tasklog (revision {current}, this version knows "
            f"{known[0]}): migrate with that version."
        )
    left = list(scripts.iterate_revisions("head", current or "base"))
    return left[-1] if left else None


async def _step(where: Address) -> None:
    """Apply one revision in its own transaction, so that no table stays locked while another is waited for."""
    async with _transaction(where) as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        revision = await _next_revision(driver)
        if revision is not None:
            await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision.revision))


async def _downgrade(where: Address, revision: str) -> None:
    where = await settled(where, _DATABASE_URL)
    async with _transaction(where) as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), revision))
        await connection.exec_driver_sql("COMMENT ON SCHEMA tasklog IS NULL")
        if revision != "base":
            await connection.exec_driver_sql("COMMENT ON SEQUENCE tasklog.task_ids IS NULL")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


async def _connect(where: Address) -> asyncpg.Connection:
    """Connect. A pooler takes no settings of a session, so behind one each transaction sets them."""
    try:
        connection = await asyncpg.connect(
            where.url,
            ssl=where.tls,
            statement_cache_size=0,
            timeout=10,
            server_settings=None if where.pooled else _SESSION,
        )
        if not where.pooled:
            await sessions.settle(connection, shared=False)
    except (OSError, TimeoutError, asyncpg.PostgresError, sessions.ReadOnlyServerError, ValueError) as error:
        raise refusal(_DATABASE_URL, error) from None
    return connection


@asynccontextmanager
async def _transaction(where: Address) -> AsyncIterator[AsyncConnection]:
    """Yield a connection for Alembic, in a transaction that excludes other migrations."""
    connect = partial(_connect, where)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE")
            await connection.exec_driver_sql(SETTINGS)
            await connection.exec_driver_sql(ONE_AT_A_TIME)
            yield connection
    finally:
        await engine.dispose()

"""Install the SQL functions, rights and passwords: change what differs from this code, and leave the rest alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from event_log.tables import metadata
from migrations.locks import ONE_AT_A_TIME, SETTINGS
from migrations.templates import statements
from read_model import tables as read_model
from runtime.catalog import PLAIN_NAMES, catalog, differences
from runtime.postgres_url import parse
from runtime.schema import (
    FUNCTIONS,
    INSTALLED,
    OF_RELEASE_1_0,
    RIGHTS,
    SERVES,
    Schema,
    head_revision,
    schema_version,
)
from runtime.settings import SettingsError

_ROLES: Final = ("tasklog_writer", "tasklog_projector", "tasklog_reader", "tasklog_eraser")
_DEFINITIONS: Final = """
    SELECT oid::regprocedure::text AS name, pg_get_functiondef(oid) AS text
    FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace AND prokind <> 'a' ORDER BY 1
"""
_RIGHTS: Final = """
    -- Which role may do what with the schema, its tables, columns, sequences and functions.
    SELECT kind || name AS name,
           (SELECT string_agg(item::text, ',' ORDER BY item::text) FROM unnest(acl) AS item) AS text
    FROM (
        SELECT 'schema ' AS kind, nspname::text AS name, nspacl AS acl FROM pg_namespace WHERE nspname = 'tasklog'
        UNION ALL SELECT 'table ', relname, relacl FROM pg_class WHERE relnamespace = 'tasklog'::regnamespace
        UNION ALL SELECT 'column ', c.relname || '.' || a.attname, a.attacl FROM pg_attribute a
                         JOIN pg_class c ON c.oid = a.attrelid
                         WHERE c.relnamespace = 'tasklog'::regnamespace AND a.attacl IS NOT NULL
        UNION ALL SELECT 'function ', oid::regprocedure::text, proacl FROM pg_proc
                         WHERE pronamespace = 'tasklog'::regnamespace
    ) AS rights (kind, name, acl) ORDER BY 1
"""
_WITHOUT_CONNECT: Final = """
    -- The logins among $1 that may not connect to this database.
    SELECT rolname::text FROM pg_roles
    WHERE rolname = ANY ($1::text[]) AND NOT has_database_privilege(oid, current_database(), 'CONNECT') ORDER BY 1
"""
_INSTALLS: Final = Schema(digest=schema_version(), revision=head_revision(), serves=SERVES)
_SERVED: Final = "SELECT obj_description('tasklog'::regnamespace, 'pg_namespace')"

assert read_model.tasks.metadata is metadata  # imported because its tables belong to the same schema
_TABLES: Final = {table.name for table in metadata.tables.values()} | {"task_ids", "alembic_version"}

_Shown = dict[str, str | None]


async def is_installed(connection: Any, service_urls: Sequence[str]) -> bool:
    """Return whether everything is as `install` leaves it. It only reads, so it neither blocks nor waits."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL {PLAIN_NAMES}")
        installed = await connection.fetchrow(INSTALLED)
        return (
            installed["installed"] == _INSTALLS.written()
            and await connection.fetchval(_SERVED) == OF_RELEASE_1_0
            and not await connection.fetch(_WITHOUT_CONNECT, _logins(service_urls))
            and not await differences(connection)
        )


async def install(connection: Any, service_urls: Sequence[str]) -> None:
    """Install functions and rights in one transaction, and record that they are installed."""
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(SETTINGS)
        await connection.execute(ONE_AT_A_TIME)
        await _install_functions(connection)
        await _install_rights(connection)
        await _let_connect(connection, _logins(service_urls))
        await connection.execute(f"COMMENT ON SCHEMA tasklog IS '{OF_RELEASE_1_0}'")
        await connection.execute(f"COMMENT ON SEQUENCE tasklog.task_ids IS '{_INSTALLS.written()}'")
        await connection.execute(await catalog(connection, _TABLES))


async def set_passwords(connection: Any, service_urls: Sequence[str]) -> None:
    """Set the passwords of the services' URLs for their roles. Whether they are already set cannot be read."""
    for url in service_urls:
        user, _, password = parse(url).login.partition(":")
        if user.startswith("tasklog_") and password:
            statement = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"
            await connection.execute(await connection.fetchval(statement, unquote(user), unquote(password)))


async def _install_functions(connection: Any) -> None:
    """Replace the functions that differ, which keep their oids; keep those that this code does not have.

    A service of another version may call them: a revision of a later release drops them by name.
    """
    before = await _definitions(connection)
    wanted = await _tried(connection, FUNCTIONS, _definitions, keep=False)
    changed = [text for name, text in wanted.items() if before.get(name) != text]
    await connection.execute("SET LOCAL check_function_bodies = off")  # already checked above, in order
    for text in changed:
        await connection.execute(text)


async def _install_rights(connection: Any) -> None:
    before = await _rights(connection)
    if await _tried(connection, [RIGHTS], _rights, keep=False) != before:
        await _tried(connection, [RIGHTS], _rights, keep=True)


async def _tried(
    connection: Any, files: Sequence[Path], look: Callable[[Any], Awaitable[_Shown]], *, keep: bool
) -> _Shown:
    """Return what the catalog shows after running some files, and then keep or roll back their changes."""
    attempt = connection.transaction()
    await attempt.start()
    for path in files:
        await connection.execute(statements(path))
    shown = await look(connection)
    await (attempt.commit() if keep else attempt.rollback())
    return shown


async def _definitions(connection: Any) -> _Shown:
    return {row["name"]: row["text"] for row in await connection.fetch(_DEFINITIONS)}


async def _rights(connection: Any) -> _Shown:
    return {row["name"]: row["text"] for row in await connection.fetch(_RIGHTS)}


def _logins(service_urls: Sequence[str]) -> list[str]:
    """Return the logins of the services: the roles, and those that their URLs name."""
    return sorted({*_ROLES, *(unquote(parse(url).login.partition(":")[0]) for url in service_urls)})


async def _let_connect(connection: Any, logins: Sequence[str]) -> None:
    """Grant CONNECT to the logins that lack it, because it was revoked from PUBLIC."""
    without = [row[0] for row in await connection.fetch(_WITHOUT_CONNECT, logins)]
    for login in without:
        statement = "SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), $1::text)"
        await connection.execute(await connection.fetchval(statement, login))
    if await connection.fetch(_WITHOUT_CONNECT, logins):
        message = (
            f"The login of DATABASE_URL may not let {', '.join(without)} connect: have the database's owner GRANT "
            "CONNECT ON DATABASE to them."
        )
        raise SettingsError(message)

"""Postgres for the services: opened with what each role needs, and checked before use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from runtime import sessions
from runtime.connecting import Connector
from runtime.database_url import URL_OF_ROLE, Address, Role, service_address
from runtime.pool import Complete, Database, Limits, UnavailableError, chunks
from runtime.poolers import settled
from runtime.refusals import refusal
from runtime.schema import INSTALLED, check_database, check_schema
from runtime.sessions import ReadOnlyServerError
from runtime.settings import Settings, SettingsError
from runtime.standbys import noticing_standby
from runtime.watching import WATCH, watched

__all__ = ["OPERATORS_SECONDS", "Complete", "Database", "UnavailableError", "chunks", "open_database"]

LOGIN: Final = """
    -- Whether the login, or the role it switched to, is a superuser, for whom rights mean nothing.
    SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname IN (current_user, session_user)
"""
_OTHER_SCHEMA: Final = "The database does not have the schema of this version: run ./run migrate."
_READ_ONLY: Final = (
    "The database of {} accepts no writes (a standby, or default_transaction_read_only is on): "
    "point the URL at the primary."
)
_CONNECTIONS: Final = 8
_CONNECTIONS_OF_ALL_WORKERS: Final = 32
_FEWEST_CONNECTIONS: Final = 4
"""The most connections of a process in one role, and of all workers together; but a worker has a few in any case."""
OPERATORS_SECONDS: Final = 3600
"""The longest that an operator's statement may take, in a command or in a job, in seconds."""
_START_SECONDS: Final = 10

# If the server crashes, it may lose the last projected rows; the projector then projects those events again.
_SESSION: Final[Mapping[str, dict[str, str]]] = {"projector": {"synchronous_commit": "off"}}

_GENERIC: Final = {"plan_cache_mode": "force_generic_plan"}

_open: Final[set[Database]] = set()


def give_up_databases() -> None:
    """Make everything that waits for this process's databases fail at once; see `Database.give_up`."""
    for database in _open:
        database.give_up()


def open_databases() -> list[Database]:
    """Return the databases that this process has open, the one with the longest time limit first."""
    return sorted(_open, key=lambda database: database.seconds, reverse=True)


async def databases_answer() -> bool:
    """Return whether every database that this process needs answers."""
    return all([await database.answers() for database in needed_databases()])


def needed_databases() -> list[Database]:
    """Return the databases without which this process cannot serve."""
    return [database for database in open_databases() if database.role not in ("standby", "watch")]


@asynccontextmanager
async def open_database(
    settings: Settings, role: Role, *, seconds: float = 10, generic_plans: bool = False
) -> AsyncIterator[Database]:
    """Yield a service's database, after checking that it answers and has the schema that this code needs.

    With `generic_plans` a statement is planned once a session, whatever its parameters.

    Raises:
        SettingsError: the database does not answer, refuses the login, has another schema, or the login is a superuser.
    """
    if role == "reader":
        settings = await noticing_standby(settings)
    where = service_address(settings, role)
    setting = URL_OF_ROLE[role].upper() if role in URL_OF_ROLE and not where.role else settings.database
    where = await settled(where, setting)
    limits = Limits(connections=connections_of(settings), seconds=seconds)
    connector = Connector(where, min(seconds, _START_SECONDS))
    async with open_pool(role, where, limits, connector, generic_plans=generic_plans) as database:
        await _check_schema(database, setting)
        if role in URL_OF_ROLE:
            await _check_login(database, settings, role, setting)
        if not connector.has_choice:
            yield database
            return
        async with open_pool("watch", where, WATCH, connector) as probe, watched(database, probe):
            yield database


@asynccontextmanager
async def open_pool(
    role: Role, where: Address, limits: Limits, connector: Connector, *, generic_plans: bool = False
) -> AsyncIterator[Database]:
    """Yield a database whose server is not checked; it is connected to when it is first used."""
    taken = {"role": where.role} if where.role else {}
    session = taken | limits.on_server() | _SESSION.get(role, {}) | (_GENERIC if generic_plans else {})
    pool = asyncpg.create_pool(
        where.url,
        connect=connector.connect,
        ssl=where.tls,
        min_size=0,
        max_size=limits.connections,
        command_timeout=limits.seconds,
        statement_cache_size=0 if where.pooled else 100,
        reset=_keep,
        # A pooler does not pass these on at login, so behind one each transaction sets them.
        server_settings=None if where.pooled else sessions.SESSION | session,
    )
    await pool
    database = Database(role, pool, where, limits, session)
    _open.add(database)
    try:
        yield database
    finally:
        await database.close()
        _open.discard(database)


def connections_of(settings: Settings) -> int:
    """Return how many connections a process may open in one role."""
    share = _CONNECTIONS_OF_ALL_WORKERS // (settings.api_workers or 1)
    return max(_FEWEST_CONNECTIONS, min(_CONNECTIONS, share))


async def _keep(_: object) -> None:
    """Skip asyncpg's reset: sessions hold no state of ours, and open transactions were already rolled back."""


async def _check_schema(database: Database, setting: str) -> None:
    (row,) = await _asked_at_start(database, INSTALLED, setting)
    check_database(setting, row["encoding"], row["version"])
    check_schema(row["installed"])


async def _asked_at_start(database: Database, query: str, setting: str) -> Sequence[Any]:
    """Return the rows of `query`; turn any error into one sentence about `setting`."""
    try:
        return await asyncio.wait_for(database.fetch(query), timeout=_START_SECONDS)
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        # The role to switch to does not exist, or is not granted to this login.
        raise SettingsError(_OTHER_SCHEMA) from None
    except (UnavailableError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, UnavailableError) else None
        if isinstance(cause, ReadOnlyServerError):
            raise SettingsError(_READ_ONLY.format(setting)) from None
        raise refusal(setting, cause or error) from None


async def _check_login(database: Database, settings: Settings, role: Role, setting: str) -> None:
    """Refuse a superuser as a service, because the database's rights do not limit a superuser.

    Switching to another role does not help: a session can switch back.
    """
    ((superuser,),) = await _asked_at_start(database, LOGIN, setting)
    if superuser and not settings.allow_superuser:
        message = (
            f"{setting} logs in as a superuser, whom the database's rights do not limit: use an owner that is none, "
            f"give the service its own login in {URL_OF_ROLE[role].upper()}, or set ALLOW_SUPERUSER=true."
        )
        raise SettingsError(message)

"""Postgres as the services use it: a pool of asyncpg connections of one role, whatever stands between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import asyncpg
import structlog

from runtime import sessions
from runtime.database_url import URL_OF_ROLE, Address, Role, service_address
from runtime.poolers import settled
from runtime.refusals import refusal
from runtime.schema import INSTALLED, check_database, check_schema
from runtime.settings import Settings, SettingsError

_LOGIN: Final = """
    -- Whether rights mean nothing to the login, or to the role that was taken after it.
    SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname IN (current_user, session_user)
"""
_OTHER_SCHEMA: Final = "The database does not have the schema of this version: run ./run migrate."
_CONNECTIONS: Final = 8
OPERATORS_SECONDS: Final = 3600
"""The longest that an operator's statement may take, be it in a command or in a job."""
_CHUNK: Final = 500
_WAITING: Final = 1000
_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server is ending, used before its end was seen
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.InternalServerError,  # XX000: a migration changed the catalog under the statement
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.PostgresSystemError,
    asyncpg.PostgresIOError,
)

# What a crash of the server takes back of the projection is projected again.
_SESSION: Final[Mapping[str, dict[str, str]]] = {"projector": {"synchronous_commit": "off"}}

log = structlog.get_logger()


class UnavailableError(Exception):
    """The database cannot answer now; what was sent may or may not have been committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many connections a service has, and how long it waits for anything: a connection, an answer."""

    connections: int
    seconds: float

    def on_server(self) -> dict[str, str]:
        """The server's own time-outs, in ms. It gives up first: what it cancels is known not to have happened.

        A session that holds locks and says nothing, since its process is stopped or cut off, is ended too.
        """
        return {
            "statement_timeout": str(round(self.seconds * 900)),
            "lock_timeout": str(round(self.seconds * 500)),
            "idle_in_transaction_session_timeout": str(round(self.seconds * 1000)),
        }


class Database:
    """A pool of connections of one role. Every fetch is a transaction of its own.

    Where no connection is free, so many wait for one, and for so long, and no more.
    """

    def __init__(self, pool: asyncpg.Pool, where: Address, limits: Limits, session: dict[str, str]) -> None:
        self.pool = pool
        self._where = where
        self._limits = limits
        self._session = session
        self._users = 0

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run one statement; its rows, committed.

        Raises:
            UnavailableError: no connection, a time-out, or the server refuses work.
        """
        try:
            if self._where.pooled:
                return await self._fetch_pooled(query, *args)
            async with self._connection() as connection:
                return cast(Sequence[Any], await connection.fetch(query, *args))
        except _UNAVAILABLE as error:
            raise UnavailableError(type(error).__name__) from error

    async def _fetch_pooled(self, query: str, *args: Any) -> Sequence[Any]:
        async with self.transaction() as connection:
            return cast(Sequence[Any], await connection.fetch(query, *args))

    @asynccontextmanager
    async def transaction(self, *settings: str) -> AsyncIterator[Any]:
        """A connection in a transaction of the service's role, with `settings` (`name = value`) until it ends.

        Raises:
            UnavailableError: no connection, a time-out, or the server refuses work.
        """
        own = self._session if self._where.pooled else {}
        try:
            async with self._connection() as connection:
                await connection.execute(sessions.begin(connection, own, *settings))
                try:
                    yield connection
                except BaseException:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")
                    raise
                await connection.execute("COMMIT")
        except _UNAVAILABLE as error:
            raise UnavailableError(type(error).__name__) from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of the pool, when it is this caller's turn.

        Raises:
            UnavailableError: too many wait for one.
            TimeoutError: none became free in time.
        """
        if self._users >= self._limits.connections + _WAITING:
            message = "too many wait for a connection"
            raise UnavailableError(message)
        # The time-out costs 20 us, so it is for those alone who may have to wait.
        timeout = self._limits.seconds if self._users >= self._limits.connections else None
        self._users += 1
        try:
            async with self.pool.acquire(timeout=timeout) as connection:
                yield connection
        finally:
            self._users -= 1


Complete: TypeAlias = Callable[[Any, list[Any]], AsyncIterator[list[Any]]]
"""Fetches what was left out of some rows, by their connection, and gives the rows again in smaller lists."""


async def chunks(
    connection: Any, query: str, *args: object, complete: Complete | None = None
) -> AsyncIterator[list[Any]]:
    """The rows of `query`, in a transaction, in lists: memory stays flat.

    A list is about what the kernel buffers, and the next one is under way while some is worked on: both sides work.
    A list in which a row says what was `left_out` goes through `complete`.
    """
    cursor = await connection.cursor(query, *args)
    coming = asyncio.ensure_future(cursor.fetch(_CHUNK))
    try:
        while rows := await coming:
            coming = asyncio.ensure_future(cursor.fetch(_CHUNK))
            await asyncio.sleep(0)
            if complete is None or not any(row["left_out"] for row in rows):
                yield rows
                continue
            await asyncio.wait([coming])  # a connection does one thing at a time
            async for part in complete(connection, rows):
                yield part
    finally:
        if not coming.done():
            await asyncio.wait([coming])


@asynccontextmanager
async def open_database(settings: Settings, role: Role, *, seconds: float = 10) -> AsyncIterator[Database]:
    """A service's database, checked to be there and to have the schema that this code needs.

    Raises:
        SettingsError: it is not there, refuses the login, has another schema, or takes a service for a superuser.
    """
    where = service_address(settings, role)
    setting = "DATABASE_URL" if where.role else URL_OF_ROLE.get(role, "DATABASE_URL").upper()
    where = await settled(where, setting)
    limits = Limits(connections=_CONNECTIONS, seconds=seconds)
    taken = {"role": where.role} if where.role else {}
    session = taken | limits.on_server() | _SESSION.get(role, {})
    pool = asyncpg.create_pool(
        where.url,
        ssl=where.tls,
        min_size=0,
        max_size=limits.connections,
        command_timeout=seconds,
        timeout=seconds,
        statement_cache_size=0 if where.pooled else 100,
        reset=_keep,
        init=None if where.pooled else sessions.complete,
        # A pooler takes none of these at the start: there they are set in each transaction.
        server_settings=None if where.pooled else sessions.SESSION | session,
    )
    try:
        async with pool:
            database = Database(pool, where, limits, session)
            await _check_schema(database, setting)
            if role in URL_OF_ROLE:
                await _check_login(database, settings, role, setting)
            yield database
    finally:
        pool.terminate()


async def _keep(_: object) -> None:
    """Reset nothing between uses: no session state is ever set, and a transaction left open is rolled back before."""


async def _check_schema(database: Database, setting: str) -> None:
    (row,) = await _asked_at_start(database, INSTALLED, setting)
    check_database(setting, row["encoding"], row["version"])
    check_schema(row["installed"])


async def _asked_at_start(database: Database, query: str, setting: str) -> Sequence[Any]:
    """The rows of `query`; whatever keeps them from coming is one sentence about `setting`."""
    try:
        return await asyncio.wait_for(database.fetch(query), timeout=10)
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        # The role to take is not there, or not granted to this login.
        raise SettingsError(_OTHER_SCHEMA) from None
    except (UnavailableError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise refusal(setting, error.__cause__ or error) from None


async def _check_login(database: Database, settings: Settings, role: Role, setting: str) -> None:
    """Refuse a superuser as a service: no right that it lacks would hold anybody up who got in by it.

    Nor would a role that it took: a session can take that back.
    """
    ((superuser,),) = await _asked_at_start(database, _LOGIN, setting)
    if superuser and not settings.allow_superuser:
        message = (
            f"{setting} logs in as a superuser, for whom the database's rights mean nothing: use an owner who is none, "
            f"give the service a login of its own in {URL_OF_ROLE[role].upper()}, or set ALLOW_SUPERUSER=true."
        )
        raise SettingsError(message)

"""Postgres as the services use it: a pool of asyncpg connections of one role, whatever stands between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog

from runtime.schema import INSTALLED, schema_version
from runtime.settings import Settings, SettingsError

Role = Literal["writer", "projector", "reader", "eraser", "owner"]

_URL_OF_ROLE: Final = {
    "writer": "command_database_url",
    "projector": "projector_database_url",
    "reader": "read_database_url",
}
_KNOWN_PARAMETERS: Final = frozenset(
    [
        "application_name",
        "database",
        "dbname",
        "host",
        "options",
        "passfile",
        "password",
        "port",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "user",
    ]
)
_PGBOUNCER_PORT: Final = 6432
_CHUNK: Final = 500
_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.PostgresSystemError,
    asyncpg.PostgresIOError,
)

log = structlog.get_logger()


class UnavailableError(Exception):
    """The database cannot answer now; what was sent may or may not have been committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where and as whom to connect: a URL that libpq understands, whether a pooler is in between, a role to take."""

    url: str
    pooled: bool
    role: str | None = None


def address(url: str, *, pooler: Literal["auto", "yes", "no"] = "auto", role: str | None = None) -> Address:
    """Understand a pasted database URL: any of its schemes, libpq's parameters, a pooler recognized.

    Raises:
        SettingsError: it is not a Postgres URL.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        message = "DATABASE_URL is not a Postgres URL: it begins with postgresql://."
        raise SettingsError(message)
    try:
        port = parts.port
    except ValueError:
        message = "DATABASE_URL has a port that is not a number."
        raise SettingsError(message) from None
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    known = [(name, value) for name, value in parameters if name in _KNOWN_PARAMETERS]
    dropped = sorted({name for name, _ in parameters} - _KNOWN_PARAMETERS)
    if dropped:
        log.info("database parameters without effect were dropped", parameters=dropped)
    host = parts.hostname or ""
    found = "-pooler" in host or port == _PGBOUNCER_PORT or ("pgbouncer", "true") in parameters
    clean = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(known), ""))
    return Address(url=clean, pooled=found if pooler == "auto" else pooler == "yes", role=role)


def service_address(settings: Settings, role: Role) -> Address:
    """The address of a service: its own URL, else DATABASE_URL with the service's role taken after connecting.

    Raises:
        SettingsError: no URL is set, or it is not one.
    """
    setting = _URL_OF_ROLE.get(role)
    own = getattr(settings, setting) if setting else None
    url = own or settings.database_url
    if url is None:
        message = f"DATABASE_URL is not set: set it{f' or {setting.upper()}' if setting else ''}, or use ./run."
        raise SettingsError(message)
    taken = None if own or role == "owner" else f"tasklog_{role}"
    return address(url.get_secret_value(), pooler=settings.database_pooler, role=taken)


class Database:
    """A pool of connections of one role. Every fetch is a transaction of its own."""

    def __init__(self, pool: asyncpg.Pool, where: Address) -> None:
        self.pool = pool
        self._where = where

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run one statement; its rows, committed.

        Raises:
            UnavailableError: no connection, a time-out, or the server refuses work.
        """
        try:
            if self._where.pooled:
                return await self._fetch_pooled(query, *args)
            return cast(Sequence[Any], await self.pool.fetch(query, *args))
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
        begin = ["BEGIN"]
        if self._where.pooled and self._where.role:
            begin.append(f"SET LOCAL ROLE {self._where.role}")
        begin += [f"SET LOCAL {setting}" for setting in settings]
        try:
            async with self.pool.acquire() as connection:
                await connection.execute(";".join(begin))
                try:
                    yield connection
                except BaseException:
                    if not connection.is_closed():
                        await connection.execute("ROLLBACK")
                    raise
                await connection.execute("COMMIT")
        except _UNAVAILABLE as error:
            raise UnavailableError(type(error).__name__) from error


async def chunks(connection: Any, query: str, *args: object) -> AsyncIterator[list[Any]]:
    """The rows of `query`, in a transaction, in lists: memory stays flat.

    A list is about what the kernel buffers, and the next one is under way while some is worked on: both sides work.
    """
    cursor = await connection.cursor(query, *args)
    coming = asyncio.ensure_future(cursor.fetch(_CHUNK))
    try:
        while rows := await coming:
            coming = asyncio.ensure_future(cursor.fetch(_CHUNK))
            await asyncio.sleep(0)
            yield rows
    finally:
        if not coming.done():
            await asyncio.wait([coming])


@asynccontextmanager
async def open_database(
    settings: Settings, role: Role, *, connections: int = 8, seconds: float = 10
) -> AsyncIterator[Database]:
    """A service's database, checked to be there and to have the schema that this code needs.

    Raises:
        SettingsError: it is not there, refuses the login, or has another schema.
    """
    where = service_address(settings, role)
    pool = asyncpg.create_pool(
        where.url,
        min_size=0,
        max_size=connections,
        command_timeout=seconds,
        timeout=seconds,
        statement_cache_size=0 if where.pooled else 100,
        reset=_keep,
        server_settings={"role": where.role} if where.role and not where.pooled else None,
    )
    try:
        async with pool:
            database = Database(pool, where)
            await _check_schema(
                database, "DATABASE_URL" if where.role else _URL_OF_ROLE.get(role, "DATABASE_URL").upper()
            )
            yield database
    finally:
        pool.terminate()


async def _keep(_: object) -> None:
    """Reset nothing between uses: no session state is ever set, and a transaction left open is rolled back before."""


async def _check_schema(database: Database, setting: str) -> None:
    try:
        rows = await asyncio.wait_for(database.fetch(INSTALLED), timeout=10)
    except (UnavailableError, TimeoutError) as error:
        reason = type(error.__cause__ or error).__name__
        message = f"No database answers at {setting} ({reason}): check the URL and that Postgres is running."
        raise SettingsError(message) from None
    except (asyncpg.PostgresError, ValueError) as error:
        message = f"The database refuses the login of {setting} ({type(error).__name__}): check user, password, name."
        raise SettingsError(message) from None
    if rows[0][0] != schema_version():
        message = "The database does not have the schema of this version: run ./run migrate."
        raise SettingsError(message)

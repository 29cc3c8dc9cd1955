"""A pool of connections of one role, with or without a pooler before Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, cast

import asyncpg

from runtime import sessions
from runtime.connecting import UNREACHABLE
from runtime.database_url import Address, Role
from runtime.sessions import NoStandbyError, ReadOnlyServerError

_CHUNK: Final = 500
_WAITING: Final = 1000
_UNAVAILABLE: Final = (
    *UNREACHABLE,
    asyncpg.LockNotAvailableError,
    asyncpg.InternalServerError,  # XX000: a migration changed the catalog during the statement
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.PostgresSystemError,
    asyncpg.PostgresIOError,
)
_OTHER_SERVER: Final = (TimeoutError, ReadOnlyServerError, NoStandbyError, asyncpg.ReadOnlySQLTransactionError)
"""Errors of a server that is silent or another than it was: the pool's other connections are no better."""
_WAY_OUT_SECONDS: Final = 1.0
"""How long a rollback, or closing a connection, may take before the connection is cut, in seconds."""
_HEARD_SECONDS: Final = 1.0
"""For how long after an answer the server counts as answering, in seconds."""
_PROBE_SECONDS: Final = 2.0


class UnavailableError(Exception):
    """The database cannot answer now. The statement may or may not have been committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many connections a service has, and how long it waits for a connection or an answer, in seconds."""

    connections: int
    seconds: float

    def on_server(self) -> dict[str, str]:
        """Return the server's own time-outs, in ms. They are shorter than ours, so what the server cancels did nothing.

        The server also ends a session that holds locks but sends nothing, because its process is stopped or cut off.
        """
        return {
            "statement_timeout": str(round(self.seconds * 900)),
            "lock_timeout": str(round(self.seconds * 500)),
            "idle_in_transaction_session_timeout": str(round(self.seconds * 1000)),
        }


class PoolUse(NamedTuple):
    """How a pool is used: its connections at most, open and in use, and the statements that wait for one.

    `unavailable` counts the statements that failed because the database was not available.
    """

    most: int
    open: int
    in_use: int
    waiting: int
    unavailable: int


class Database:
    """A pool of connections of one role. Each fetch is its own transaction.

    At most `_WAITING` callers queue for a connection, each for at most `limits.seconds`.
    """

    def __init__(self, role: Role, pool: asyncpg.Pool, where: Address, limits: Limits, session: dict[str, str]) -> None:
        self.role: Role = role
        self.pool = pool
        self._pooled, self._standby = where.pooled, where.standby
        self._limits = limits
        self._shared = session if where.pooled else {}
        self._users: dict[object, asyncio.Task[Any] | None] = {}
        self._in_use: set[Any] = set()
        self._given_up: set[asyncio.Task[Any] | None] | None = None
        self._heard_at = float("-inf")
        self._probe: asyncio.Task[None] | None = None
        self._unavailable = 0

    @property
    def seconds(self) -> float:
        """Return how long a statement may take, in seconds."""
        return self._limits.seconds

    def use(self) -> PoolUse:
        """Return how the pool is used now."""
        callers, most = len(self._users), self._limits.connections
        return PoolUse(most, self.pool.get_size(), min(callers, most), max(0, callers - most), self._unavailable)

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run one statement, commit, and return its rows.

        Raises:
            UnavailableError: no connection, a time-out, or the server refuses work.
        """
        if self._pooled:
            async with self.transaction() as connection:
                return cast(Sequence[Any], await connection.fetch(query, *args))
        async with self._connection() as connection:
            rows = await connection.fetch(query, *args)
            sessions.check_reported(connection, standby=self._standby)
            return cast(Sequence[Any], rows)

    @asynccontextmanager
    async def transaction(self, *settings: str, snapshot: bool = False) -> AsyncIterator[Any]:
        """Yield a connection in a transaction of the service's role; `settings` (`name = value`) hold until it ends.

        With `snapshot` the transaction only reads, and all its statements see the same moment.

        Raises:
            UnavailableError: no connection, a time-out, or the server refuses work.
        """
        async with self._connection() as connection:
            await sessions.begin(connection, self._shared, *settings, snapshot=snapshot, standby=self._standby)
            try:
                yield connection
            except BaseException as error:
                await _roll_back(connection, error)
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """Wait for a connection of the pool, and yield it.

        Raises:
            UnavailableError: too many callers wait, no connection became free in time, or the server fails.
        """
        if self._given_up is not None:
            raise UnavailableError("the process is ending")
        waits = len(self._users) >= self._limits.connections
        if len(self._users) >= self._limits.connections + _WAITING:
            raise UnavailableError("too many requests wait for a connection")
        use, task = object(), asyncio.current_task()
        self._users[use] = task
        try:
            # The time-out costs 20 µs, so only callers that may have to wait get one.
            connection = await self.pool.acquire(timeout=self._limits.seconds if waits else None)
            self._in_use.add(connection)
            try:
                yield connection
            except BaseException as error:
                await self._give_back(connection, error)
                raise
            finally:
                self._in_use.discard(connection)
            await self.pool.release(connection)
            self._heard_at = asyncio.get_running_loop().time()
        except asyncio.CancelledError:
            if task is None or task not in (self._given_up or ()) or task.uncancel():
                raise
            raise UnavailableError("the process is ending") from None
        except _UNAVAILABLE as error:
            self._unavailable += 1
            raise UnavailableError(type(error).__name__) from error
        finally:
            del self._users[use]

    async def _give_back(self, connection: Any, error: BaseException) -> None:
        """Return a connection to the pool after an error, or cut it if the server is silent."""
        if isinstance(error, _OTHER_SERVER):
            await self.pool.expire_connections()
        with suppress(asyncpg.InterfaceError):  # already cut
            if isinstance(error, TimeoutError):
                connection.terminate()
        # Whoever waits may be cancelled; the release ends all the same.
        await asyncio.shield(self._release(connection, cancelled=isinstance(error, asyncio.CancelledError)))

    async def _release(self, connection: Any, *, cancelled: bool) -> None:
        if cancelled:
            await _end_statement(connection)
        with suppress(TimeoutError):
            await self.pool.release(connection, timeout=_WAY_OUT_SECONDS)

    async def answers(self) -> bool:
        """Return whether the server answered within the last second, or answers now."""
        loop = asyncio.get_running_loop()
        asked = loop.time() - _HEARD_SECONDS
        if self._heard_at < asked:
            if self._probe is None or self._probe.done():
                self._probe = asyncio.create_task(self._ask())
            await asyncio.wait([self._probe], timeout=_PROBE_SECONDS)
        return self._heard_at >= asked

    async def _ask(self) -> None:
        with suppress(UnavailableError, asyncpg.PostgresError):
            await self.fetch("SELECT 1")

    async def leave(self, seconds: float) -> None:
        """Connect anew if the server has been silent for so long; its callers get UnavailableError."""
        if self._heard_at < asyncio.get_running_loop().time() - seconds:
            await self.pool.expire_connections()
            for connection in [*self._in_use]:
                connection.terminate()

    def give_up(self) -> None:
        """Stop using the server: every caller that waits for it, now or later, gets UnavailableError at once."""
        if self._given_up is None:
            self._given_up = set(self._users.values())
            self.pool.terminate()
            for task in self._given_up:
                if task is not None:
                    task.cancel()

    async def close(self) -> None:
        """Close all connections; cut those whose server does not respond."""
        if self._probe is not None:
            self._probe.cancel()
        with suppress(*_UNAVAILABLE):
            await asyncio.wait_for(self.pool.close(), _WAY_OUT_SECONDS)
        self.pool.terminate()


async def _end_statement(connection: Any) -> None:
    """End what a cancelled statement left: asyncpg may leave Postgres within it, where no transaction can begin."""
    try:
        await connection.execute("SELECT", timeout=_WAY_OUT_SECONDS)
    except (*_UNAVAILABLE, asyncpg.PostgresError):
        with suppress(asyncpg.InterfaceError):  # already cut
            connection.terminate()


async def _roll_back(connection: Any, error: BaseException) -> None:
    """Roll back. If the server is silent, leave it to the cut connection, which the server then rolls back."""
    if isinstance(error, TimeoutError):
        return
    with suppress(asyncpg.InterfaceError):  # already cut
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK", timeout=_WAY_OUT_SECONDS)
        except asyncio.CancelledError:
            connection.terminate()
            raise
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError):
            connection.terminate()


Complete: TypeAlias = Callable[[Any, list[Any]], AsyncIterator[list[Any]]]
"""Fetches what was left out of some rows, on the same connection, and yields the rows again in smaller lists."""


async def chunks(
    connection: Any, query: str, *args: object, complete: Complete | None = None
) -> AsyncIterator[list[Any]]:
    """Yield the rows of `query` in lists, read in one transaction, so that memory use stays constant.

    A list is about as much as the kernel buffers. The next list is fetched while the caller works on this one, so both
    sides stay busy. A list with a row that has `left_out` set goes through `complete`.
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
            await asyncio.wait([coming])  # a connection runs one statement at a time
            async for part in complete(connection, rows):
                yield part
    finally:
        if not coming.done():
            await asyncio.wait([coming])

"""The standby of READ_DATABASE_URL: it is looked at every second, and used while it follows the primary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from read_api.counts import COUNTS
from read_api.replay_lag import ReplayLag
from read_api.time_travel import MOMENT
from runtime.connecting import Connector
from runtime.database import LOGIN, UnavailableError, connections_of, open_pool
from runtime.pool import Limits
from runtime.poolers import REFUSED, tried
from runtime.refusals import reason_of
from runtime.unending import unending

if TYPE_CHECKING:
    from runtime.database import Database
    from runtime.database_url import Address
    from runtime.settings import Settings

LOOK_SECONDS: Final = 1.0
"""How often the standby is looked at, and within which time it must then answer, in seconds."""
_SHORTEST_PAUSE: Final = 0.05
_STATEMENT_SECONDS: Final = 10.0

_CLUSTER: Final = "SELECT system_identifier FROM pg_control_system()"
_FOLLOWS: Final = "SELECT pg_is_in_recovery()"

log = structlog.get_logger()


class _RefusedError(Exception):
    """The server is not a standby of our primary, or its login may do too much: why, in a few words."""


class Standby:
    """The connections to the standby; `database` is None while it cannot be used.

    It is only looked at here: that its answers are right, each read checks by itself, see read_api/standby_rows.py.
    """

    def __init__(self, settings: Settings, where: Address, primary: Database) -> None:
        self.database: Database | None = None
        self._settings, self._where, self._primary = settings, where, primary
        self._probe: Database | None = None
        self._opened, self._probing = AsyncExitStack(), AsyncExitStack()
        self._asked, self._lag = asyncio.Event(), ReplayLag()
        self._witness: tuple[str, int] | None = None
        self._reason: str | None = None

    def note(self) -> str | None:
        """Return in one sentence that the standby is not used, and why; None while it is."""
        if self.database is not None:
            return None
        return f"All reads go to the primary, as the standby of READ_DATABASE_URL is not used: {self._reason}."

    def suspect(self) -> None:
        """Look at the standby now: a statement has failed there."""
        self._asked.set()

    def differs(self, user_id: str, position: int) -> None:
        """Leave the standby until it has the same event as the primary at this position of a user."""
        self._witness = user_id, position
        self.suspect()

    async def look_forever(self) -> None:
        """Look at the standby every second, and when it is suspected."""
        while True:
            self._asked.clear()
            await self.look()
            await asyncio.sleep(_SHORTEST_PAUSE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_SECONDS)

    async def look(self) -> None:
        """Use the standby if it answers and follows the primary; otherwise leave it."""
        try:
            probe = self._probe or await self._open_probe()
            await self._check(probe)
            if self.database is None or self._witness is not None:
                await self._compare(probe)
        except _RefusedError as error:
            await self._leave(str(error))
        except (UnavailableError, *REFUSED) as error:
            await self._leave(reason_of(error))
        else:
            await self._use()
            COUNTS.lag_seconds = await self._lag.look(self._primary, probe)

    async def _open_probe(self) -> Database:
        """Open a connection of its own for looks, which no read can occupy."""
        self._where = await tried(self._where)
        limits = Limits(connections=1, seconds=LOOK_SECONDS)
        connector = Connector(self._where, LOOK_SECONDS)
        self._probe = await self._probing.enter_async_context(open_pool("standby", self._where, limits, connector))
        return self._probe

    async def _check(self, probe: Database) -> None:
        """Check that the standby answers and is one.

        Raises:
            _RefusedError: it was promoted, and is behind a pooler, which does not tell it with each answer.
            UnavailableError: it does not answer, or was promoted.
        """
        ((follows,),) = await probe.fetch(_FOLLOWS)
        if not follows:
            raise _RefusedError("it was promoted")

    async def _compare(self, probe: Database) -> None:
        """Compare the standby with the primary.

        Raises:
            _RefusedError: it is a standby of another cluster, has another history, or its login is a superuser; or the
                primary does not answer.
            UnavailableError: the standby does not answer.
        """
        try:
            cluster = await _cluster_of(self._primary)
        except UnavailableError:
            raise _RefusedError("the primary does not answer, so nothing can be compared") from None
        if await _cluster_of(probe) not in {None, cluster}:
            raise _RefusedError("it is of another cluster than the primary: make it again from this primary")
        ((superuser,),) = await probe.fetch(LOGIN)
        if superuser and not self._settings.allow_superuser:
            raise _RefusedError("its login is a superuser, whom rights do not limit: use another one")
        if self._witness is not None:
            if await self._mark_on(probe) != await self._mark_on(self._primary):
                raise _RefusedError("its history is not the primary's: make it again from this primary")
            self._witness = None

    async def _mark_on(self, database: Database) -> Any:
        assert self._witness is not None
        user_id, position = self._witness
        (row,) = await database.fetch(MOMENT, user_id, position, None)
        return row["mark"]

    async def _use(self) -> None:
        if self.database is not None:
            return
        limits = Limits(connections=connections_of(self._settings), seconds=_STATEMENT_SECONDS)
        connector = Connector(self._where, _STATEMENT_SECONDS)
        opening = open_pool("standby", self._where, limits, connector)
        self.database = await self._opened.enter_async_context(opening)
        COUNTS.is_up = True
        log.info("reads are answered by the standby of READ_DATABASE_URL")

    async def _leave(self, reason: str) -> None:
        """Send all reads to the primary, also those that wait for the standby now."""
        COUNTS.is_up, COUNTS.lag_seconds = False, None
        if self._reason != reason or self.database is not None:
            log.warning("the standby of READ_DATABASE_URL is not used, so all reads go to the primary", reason=reason)
        self._reason = reason
        if self.database is not None:
            database, self.database = self.database, None
            database.give_up()
            await self._opened.aclose()

    async def close(self) -> None:
        """Close all connections."""
        self.database = None
        await self._opened.aclose()
        await self._probing.aclose()


async def _cluster_of(database: Database) -> Any:
    """Return the identifier that a primary shares with its standbys, None if the server does not tell it."""
    try:
        ((identifier,),) = await database.fetch(_CLUSTER)
    except asyncpg.InsufficientPrivilegeError:
        return None
    return identifier


@asynccontextmanager
async def open_standby(settings: Settings, where: Address, primary: Database) -> AsyncIterator[Standby]:
    """Yield the standby of a service, which is looked at while the service runs."""
    standby = Standby(settings, where, primary)
    await standby.look()
    looking = asyncio.create_task(unending("the look at the standby", standby.look_forever))
    try:
        yield standby
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        await standby.close()

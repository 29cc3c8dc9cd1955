"""How long a standby is behind its primary, in seconds, from the positions of both in the write-ahead log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncpg

from runtime.database import UnavailableError

if TYPE_CHECKING:
    from runtime.database import Database

_SECONDS: Final = 1.0
"""How long the primary may take to tell its position, in seconds."""
_MOST: Final = 1000
"""How many positions are remembered; of more, every second one is forgotten."""

_WRITTEN: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint"
_REPLAYED: Final = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint"


class ReplayLag:
    """When the primary was seen at positions that the standby has not replayed.

    So it needs no clock of a server, and is 0 on a primary without writes.
    """

    def __init__(self) -> None:
        self._written: list[tuple[float, int]] = []

    def seconds(self, at: float, written: int, replayed: int) -> float:
        """Return for how long the standby has lacked what the primary had, at most as long as this process looks."""
        last = self._written[-1][1] if self._written else 0
        if written < last:  # after a fail-over that lost something
            self._written.clear()
        if not self._written or written > last:
            self._written.append((at, written))
        self._written = [(then, position) for then, position in self._written if position > replayed]
        if len(self._written) > _MOST:
            del self._written[1::2]
        return at - self._written[0][0] if self._written else 0.0

    async def look(self, primary: Database, standby: Database) -> float | None:
        """Ask both servers, and return the lag now; None if one does not tell."""
        try:
            async with asyncio.timeout(_SECONDS):
                ((written,),) = await primary.fetch(_WRITTEN)
            ((replayed,),) = await standby.fetch(_REPLAYED)
        except (TimeoutError, UnavailableError, asyncpg.PostgresError):
            return None
        if replayed is None:
            return None
        return self.seconds(asyncio.get_running_loop().time(), written, replayed)

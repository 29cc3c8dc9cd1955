"""Watching the primary, if a URL names several servers: a silent one is left once another one accepts writes.

Without this, a statement to a machine that has lost its network waits for its time-out, and the next ones behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from runtime.pool import Limits, UnavailableError
from runtime.unending import unending

if TYPE_CHECKING:
    from runtime.pool import Database

WATCH: Final = Limits(connections=1, seconds=2.0)
"""The watch has a connection of its own; a server that does not answer there in time counts as silent."""
_LOOK_SECONDS: Final = 1.0

_WHICH_SERVER: Final = "SELECT pg_postmaster_start_time()"

log = structlog.get_logger()


@asynccontextmanager
async def watched(database: Database, probe: Database) -> AsyncIterator[None]:
    """Watch the server of a database while the block runs. Both must connect by the same Connector."""
    watching = asyncio.create_task(unending("the watch of the primary", partial(_watch_forever, database, probe)))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _watch_forever(database: Database, probe: Database) -> None:
    known: object = None
    while True:
        try:
            ((server,),) = await probe.fetch(_WHICH_SERVER)
        except (UnavailableError, asyncpg.PostgresError):
            await asyncio.sleep(_LOOK_SECONDS / 10)  # the next look connects anew, to whichever server accepts writes
            continue
        if known not in (None, server):
            log.warning("the primary is another server, or was restarted", role=database.role)
            await database.leave(WATCH.seconds)
        known = server
        await asyncio.sleep(_LOOK_SECONDS)

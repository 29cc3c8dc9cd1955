"""The projector's process: catches up when it is woken, and once a second in any case; an arq worker beside it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Final

import structlog
from redis.asyncio import Redis

from projector.catch_up import catch_up
from projector.jobs import work_forever
from runtime.database import Database, UnavailableError, open_database
from runtime.settings import Settings
from runtime.wakeup import listen_forever, open_redis

SWEEP_SECONDS: Final = 1.0

log = structlog.get_logger()


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; a batch under way is finished first.

    Raises:
        SettingsError: the database cannot be used.
    """
    asyncio.run(_main(settings))


async def _main(settings: Settings) -> None:
    stopping, woken = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        stopping.set()
        woken.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with open_database(settings, "projector") as database, open_redis(settings) as redis:
        log.info("projecting")
        # Whichever of these ends, ends the process: it is started again rather than left half alive.
        async with asyncio.TaskGroup() as group:
            beside = _beside(group, settings, redis, database, woken)
            await project_until(stopping, database, woken)
            for task in beside:
                task.cancel()
    log.info("stopped")


def _beside(
    group: asyncio.TaskGroup, settings: Settings, redis: Redis | None, database: Database, woken: asyncio.Event
) -> list[asyncio.Task[None]]:
    if redis is None:
        return []
    return [
        group.create_task(listen_forever(redis, woken)),
        group.create_task(work_forever(settings, database)),
    ]


async def project_until(stopping: asyncio.Event, database: Database, woken: asyncio.Event) -> None:
    """Catch up whenever woken and at every sweep, until `stopping` is set; while Postgres is away, try again."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), SWEEP_SECONDS)
        woken.clear()
        try:
            await catch_up(database)
        except UnavailableError as error:
            log.warning("the database is away, nothing is projected until it is back", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS / 4)

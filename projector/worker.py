"""The projector's process: catches up with the users of wake-ups, and about once a second with all others.

It also works on rebuilds while idle, and runs an arq worker for operational jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Final, TypeAlias

import structlog
from redis.asyncio import Redis

from projector.heartbeat import beat_forever
from projector.jobs import Job, work_forever
from projector.rebuild import Rebuilt, rebuild_batch
from projector.rebuild_statements import MARK_OTHER_FORMATS
from projector.statements import FORGET_KEYS, WAKE_FORGOTTEN
from projector.task_ids import mend_task_ids
from projector.woken import Woken, catch_up_by_name, sweep
from runtime.database import OPERATORS_SECONDS, Database, UnavailableError, open_database
from runtime.loops import new_loop
from runtime.redis_client import cancelled, open_redis
from runtime.settings import Settings
from runtime.stopping import StoppedAtStart, stoppable
from runtime.wakeup import listen_forever

SWEEP_SECONDS: Final = 1.0
SHORTEST_PAUSE: Final = 0.005
LONGEST_PAUSE: Final = 0.02
"""The pause between two runs, in seconds."""
KEYS_AT_ONCE: Final = 10_000
STREAMS_AT_ONCE: Final = 1_000
RETRY_SECONDS: Final = 10.0
_WITHOUT_REDIS: Final = "the projector looks for work by itself"

log = structlog.get_logger()


Beside: TypeAlias = Callable[[Database, Redis | None], AbstractAsyncContextManager[object]]
"""Opens what runs beside the projector, such as its admin port."""


def main(
    settings: Settings,
    jobs: Sequence[Job],
    ready: Callable[[], None] = lambda: None,
    beside: Beside = lambda *_: nullcontext(),
) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP; the current batch is finished first.

    `jobs` are the operational jobs; `ready` is called when the projector begins to project.

    Raises:
        SettingsError: the database cannot be used.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner, suppress(StoppedAtStart):
        runner.run(_main(settings, jobs, ready, beside))


async def _main(settings: Settings, jobs: Sequence[Job], ready: Callable[[], None], beside: Beside) -> None:
    stopping, woken, idle = asyncio.Event(), Woken(), asyncio.Event()

    def stop() -> None:
        stopping.set()
        woken.heard(())

    with stoppable() as signals:
        async with (
            # Catching up looks rows up by an index, whatever the parameters: to plan that each time doubles its cost.
            open_database(settings, "projector", generic_plans=True) as database,
            # Jobs may run long, so they have their own pool; its idle connections are closed after minutes.
            open_database(settings, "projector", seconds=OPERATORS_SECONDS) as patient,
            open_redis(settings) as redis,
            beside(database, redis),
        ):
            log.info("projecting")
            asyncio.get_running_loop().call_soon(ready)  # after the line above
            signals.started(stop)
            # If one of these tasks fails, the process ends and is restarted, rather than running without that task.
            async with asyncio.TaskGroup() as group:
                companions = [
                    group.create_task(rebuild_when_idle(database, idle)),
                    group.create_task(forget_keys(database)),
                    group.create_task(look_after_streams(database)),
                    group.create_task(mend_task_ids(patient)),
                ]
                if redis is not None:
                    companions.append(group.create_task(beat_forever(redis)))
                    companions.append(group.create_task(listen_forever(redis, woken.heard, _WITHOUT_REDIS)))
                    companions.append(group.create_task(work_forever(settings, patient, jobs)))
                await project_until(stopping, database, woken, idle)
                await asyncio.gather(*map(cancelled, companions))
        log.info("stopped")


async def rebuild_when_idle(database: Database, idle: asyncio.Event) -> None:
    """Rebuild one batch of users at a time while the projector is idle; look for new requests at every sweep."""
    batch = Rebuilt()
    while True:
        await idle.wait()
        try:
            batch = await rebuild_batch(database, batch.next_users())
        except UnavailableError:
            batch = Rebuilt()
        if not batch.users:
            await asyncio.sleep(SWEEP_SECONDS)


async def forget_keys(database: Database) -> None:
    """Remove expired idempotency keys every hour, `KEYS_AT_ONCE` at a time so that no statement takes long."""
    while True:
        try:
            while (await database.fetch(FORGET_KEYS, KEYS_AT_ONCE))[0][0]:
                pass
            await asyncio.sleep(3600)
        except UnavailableError as error:
            log.warning("expired idempotency keys cannot be removed now; trying again soon", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


async def look_after_streams(database: Database) -> None:
    """Check all streams in turn, `STREAMS_AT_ONCE` per sweep, and mark the work that no new event would bring up.

    These are streams with unprojected events that are not marked, and rows in another version's format.
    """
    first = ""
    while True:
        try:
            ((last, looked_at, marked),) = await database.fetch(WAKE_FORGOTTEN, first, STREAMS_AT_ONCE)
            await database.fetch(MARK_OTHER_FORMATS, first, last or "")
            first = last + "\x01" if looked_at == STREAMS_AT_ONCE else ""  # the next possible user id
            if marked:
                log.warning(
                    "streams were ahead of their projection but not marked: they are projected now", streams=marked
                )
        except UnavailableError:
            pass  # project_until logs it
        await asyncio.sleep(SWEEP_SECONDS)


async def project_until(
    stopping: asyncio.Event, database: Database, woken: Woken, idle: asyncio.Event | None = None
) -> None:
    """Catch up when woken and at every sweep, until `stopping` is set; retry while Postgres is away.

    `idle` is set between two runs.
    """
    idle, loop = idle or asyncio.Event(), asyncio.get_running_loop()
    next_sweep = loop.time()
    while not stopping.is_set():
        idle.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), max(0, next_sweep - loop.time()))
        users, started = woken.take(), loop.time()
        idle.clear()
        try:
            if users is None or started >= next_sweep:
                next_sweep = started + SWEEP_SECONDS
                await sweep(database, stopping)
            else:
                await catch_up_by_name(database, users, stopping)
            # Events that arrive during the pause share a batch: a batch of thirty costs as much as a batch of one.
            pause = 2 * (loop.time() - started)
            await asyncio.sleep(max(SHORTEST_PAUSE, min(pause, LONGEST_PAUSE)))
        except UnavailableError as error:
            next_sweep = loop.time()
            log.warning("the database is away, nothing is projected until it is back", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS / 4)

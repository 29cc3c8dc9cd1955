"""Operational jobs, run by arq on Redis. Correctness does not depend on them, or on Redis. Nothing else imports arq."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, time
from typing import Any, Final
from uuid import uuid4

import orjson
import structlog
from arq import ArqRedis, Worker, cron, func
from arq.constants import in_progress_key_prefix
from redis.exceptions import RedisError

from event_log.read import NoStreamError
from projector.job_states import JobState, shown
from runtime.database import Database, UnavailableError
from runtime.redis_client import Outage, redis_pool
from runtime.settings import Settings

QUEUE: Final = "tasklog:jobs"
_LONGEST_DELAY: Final = 5.0
"""The longest pause between two attempts to reach Redis, in seconds."""
_LONGEST_JOB: Final = 6 * 3600
"""The longest that a job may run, in seconds."""
_TRIES: Final = 3
_NIGHT: Final = time(3, 30)
"""When nightly jobs run, in UTC."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job: `run` gets the database, a progress counter and its arguments; its result is JSON."""

    name: str
    run: Callable[..., Awaitable[Mapping[str, Any]]]
    nightly: bool = False


class QueueError(Exception):
    """Redis cannot take a job."""


async def enqueue(redis_url: str, name: str, arguments: Mapping[str, Any]) -> str:
    """Queue a job for any free projector; return its id, which `status` shows.

    Raises:
        QueueError: Redis is away.
    """
    state = JobState(id=uuid4().hex, name=name, arguments=arguments)
    try:
        async with _connected(redis_url) as redis:
            await state.write(redis)
            await redis.enqueue_job(name, _job_id=state.id, **arguments)
    except (RedisError, OSError) as error:
        raise QueueError(type(error).__name__) from error
    return state.id


async def work_forever(settings: Settings, database: Database, jobs: Sequence[Job]) -> None:
    """Run an arq worker, and start a new one after Redis was away."""
    assert settings.redis_url is not None
    delay, outage = 0.5, Outage("no operational jobs")
    while True:
        try:
            async with _connected(settings.redis_url.get_secret_value()) as redis:
                await redis.ping()
                outage.back()
                worker = make_worker(redis, database, jobs)
                try:
                    await worker.async_run()
                finally:
                    # Its jobs are cancelled, and Redis may be away; both are expected here.
                    with suppress(asyncio.CancelledError, RedisError, OSError):
                        await worker.close()
        except (RedisError, OSError) as error:
            outage.away(error)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)


def make_worker(redis: ArqRedis, database: Database, jobs: Sequence[Job]) -> Worker:
    """Return the arq worker of one projector."""
    return Worker(
        functions=[
            func(_coroutine(job), name=job.name, keep_result=0, timeout=_LONGEST_JOB, max_tries=_TRIES) for job in jobs
        ],
        cron_jobs=[
            cron(
                _coroutine(job),
                name=f"nightly-{job.name}",
                hour=_NIGHT.hour,
                minute=_NIGHT.minute,
                timeout=_LONGEST_JOB,
            )
            for job in jobs
            if job.nightly
        ],
        redis_pool=redis,
        queue_name=QUEUE,
        handle_signals=False,
        poll_delay=1.0,
        max_jobs=2,
        job_completion_wait=2,
        timezone=UTC,
        ctx={"database": database},
        job_serializer=_to_json,
        job_deserializer=orjson.loads,
    )


@asynccontextmanager
async def _connected(redis_url: str) -> AsyncIterator[ArqRedis]:
    redis = ArqRedis(
        redis_pool(redis_url), default_queue_name=QUEUE, job_serializer=_to_json, job_deserializer=orjson.loads
    )
    try:
        yield redis
    finally:
        with suppress(RedisError, OSError):
            await redis.aclose(close_connection_pool=True)


def _coroutine(job: Job) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return the job as a function for arq: it shows the job's state and logs a failure without the error's message."""

    async def run(ctx: dict[Any, Any], **arguments: Any) -> None:
        redis: ArqRedis = ctx["redis"]
        state = JobState(id=ctx["job_id"], name=job.name, arguments=arguments)
        try:
            async with shown(redis, state, claim=in_progress_key_prefix + state.id) as progress:
                state.result = await job.run(ctx["database"], progress, **arguments)
        except (UnavailableError, OSError, RedisError, NoStreamError) as error:
            log.error("a job failed", job=job.name, error=type(error).__name__)  # noqa: TRY400 - no fault of the code
        except Exception:
            log.exception("a job failed", job=job.name)

    return run


def _to_json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, default=str)

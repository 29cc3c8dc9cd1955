"""Operational jobs, run by arq on Redis. No correctness rests on them, or on Redis."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import structlog
from arq import Worker, func
from arq.connections import RedisSettings
from redis.exceptions import RedisError

from projector.catch_up import catch_up
from runtime.database import Database
from runtime.settings import Settings

QUEUE: Final = "tasklog:jobs"
_LONGEST_DELAY: Final = 5.0

log = structlog.get_logger()


async def project(ctx: dict[Any, Any]) -> int:
    """Catch up now; the number of events projected."""
    return await catch_up(ctx["database"])


async def work_forever(settings: Settings, database: Database) -> None:
    """Run an arq worker, and start another whenever Redis was away."""
    assert settings.redis_url is not None
    delay = 0.5
    while True:
        worker = _worker(settings.redis_url.get_secret_value(), database)
        try:
            await worker.async_run()
        except (RedisError, OSError) as error:
            log.warning("redis is away: no operational jobs", error=type(error).__name__)
        finally:
            await worker.close()
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)


def _worker(redis_url: str, database: Database) -> Worker:
    redis = RedisSettings.from_dsn(redis_url)
    redis.conn_retries = 1
    return Worker(
        functions=[func(project, name="project")],
        queue_name=QUEUE,
        redis_settings=redis,
        handle_signals=False,
        poll_delay=1.0,
        max_jobs=2,
        keep_result=600,
        job_completion_wait=2,
        ctx={"database": database},
        job_serializer=lambda value: orjson.dumps(value, default=str),
        job_deserializer=orjson.loads,
    )

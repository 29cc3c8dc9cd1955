"""Redis for every process: a client that connects on first use, and one log line per outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from runtime.settings import Settings, SettingsError

log = structlog.get_logger()


class Outage:
    """Logs a Redis outage: one line when it begins, which says what it means, and one when it ends."""

    def __init__(self, means: str) -> None:
        self._gone, self._returned = f"redis is away: {means}", f"redis is back; this has ended: {means}"
        self._away = False

    def away(self, error: Exception) -> None:
        """Note that an attempt failed."""
        if not self._away:
            log.warning(self._gone, error=type(error).__name__)
        self._away = True

    def back(self) -> None:
        """Note that an attempt succeeded."""
        if self._away:
            log.warning(self._returned)
        self._away = False


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis | None]:
    """Yield a Redis client that connects on first use, or None without REDIS_URL.

    Raises:
        SettingsError: see `redis_pool`.
    """
    if settings.redis_url is None:
        yield None
        return
    redis = Redis.from_pool(redis_pool(settings.redis_url.get_secret_value()))
    try:
        yield redis
    finally:
        with suppress(RedisError, OSError):
            await redis.aclose()


def redis_pool(url: str) -> ConnectionPool:
    """Return a pool that connects on first use.

    Raises:
        SettingsError: the URL has parameters that Redis does not know, or whose values are not valid.
    """
    try:
        pool = ConnectionPool.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        pool.connection_class(**pool.connection_kwargs)  # does not connect, but checks the parameters
    except (TypeError, ValueError):
        raise SettingsError(
            "REDIS_URL has parameters that are not known or not valid: check the part after its question mark."
        ) from None
    return pool


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task that talks to Redis, until it ends: redis-py 5.3 sometimes swallows a cancellation.

    After each attempt the task has a second to clean up.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)

"""The wake-up after a commit, over Redis: best effort, never waited for, nothing rests on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from runtime.settings import Settings, SettingsError

CHANNEL: Final = "tasklog:wake"
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0

log = structlog.get_logger()


class Outage:
    """Says once that Redis is away, and what that means, and once that it is back."""

    def __init__(self, means: str) -> None:
        self._gone, self._returned = f"redis is away: {means}", f"redis is back after this: {means}"
        self._away = False

    def away(self, error: Exception) -> None:
        """An attempt failed."""
        if not self._away:
            log.warning(self._gone, error=type(error).__name__)
        self._away = True

    def back(self) -> None:
        """An attempt succeeded."""
        if self._away:
            log.warning(self._returned)
        self._away = False


class Wake:
    """Tells the projectors that there is work; many calls in a row become few messages."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._asked = asyncio.Event()

    def notify(self) -> None:
        """Ask for a message to be sent, soon and without waiting."""
        self._asked.set()

    async def publish_forever(self) -> None:
        """Send what is asked for; while Redis is away, forget it: the projector looks by itself."""
        delay, outage = _FIRST_DELAY, Outage("projectors are not woken")
        while self._redis is not None:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._redis.publish(CHANNEL, b"")
                outage.back()
                delay = _FIRST_DELAY
            except (RedisError, OSError) as error:
                outage.away(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)


@asynccontextmanager
async def open_wake(settings: Settings) -> AsyncIterator[Wake]:
    """A Wake for the time of a service."""
    async with open_redis(settings) as redis:
        wake = Wake(redis)
        publishing = asyncio.create_task(wake.publish_forever())
        try:
            yield wake
        finally:
            await cancelled(publishing)


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a task that talks to Redis: redis-py 5.3 now and then swallows the cancellation of a command.

    A task that did hear of it has a second to put away what it worked on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis | None]:
    """A Redis client that connects when it is first used, or None without REDIS_URL.

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
    """A pool that connects when it is first used.

    Raises:
        SettingsError: the URL has parameters that are none of Redis's, or have other values.
    """
    try:
        pool = ConnectionPool.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        pool.connection_class(**pool.connection_kwargs)  # connects to nothing yet, but looks at the parameters
    except (TypeError, ValueError):
        raise SettingsError("REDIS_URL has parameters that do not fit: check what follows its question mark.") from None
    return pool


async def listen_forever(redis: Redis, woken: asyncio.Event) -> None:
    """Set `woken` at every message, and at every connection: what was sent before it was missed."""
    delay, outage = _FIRST_DELAY, Outage("the projector looks for work by itself")
    while True:
        try:
            async with redis.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                while True:
                    if await subscription.get_message(timeout=30):
                        outage.back()
                        woken.set()
                        delay = _FIRST_DELAY
        except (RedisError, OSError) as error:
            outage.away(error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

"""The wake-up over Redis after a commit: best effort, nobody waits for it, and nothing depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime.redis_client import Outage, cancelled, open_redis
from runtime.settings import Settings

CHANNEL: Final = "tasklog:wake"
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0


class Wake:
    """Tells the projectors that there is work; many calls in a row become few messages."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._asked = asyncio.Event()

    def notify(self) -> None:
        """Ask for a message to be sent, soon and without waiting."""
        self._asked.set()

    async def publish_forever(self) -> None:
        """Send a message whenever one was asked for. While Redis is away, drop it: the projector also polls."""
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
    """Yield a Wake that sends messages while the service runs."""
    async with open_redis(settings) as redis:
        wake = Wake(redis)
        publishing = asyncio.create_task(wake.publish_forever())
        try:
            yield wake
        finally:
            await cancelled(publishing)


async def listen_forever(redis: Redis, woken: asyncio.Event) -> None:
    """Set `woken` at every message, and after every connect, as messages sent before it were missed."""
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

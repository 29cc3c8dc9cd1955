"""The wake-up over Redis after a commit: it names the users whose tasks changed.

It is best effort: nobody waits for it, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime.redis_client import Outage, cancelled, open_redis
from runtime.settings import Settings
from runtime.unending import unending

CHANNEL: Final = "tasklog:wake"
SOMEBODY: Final = b""
"""A message that names nobody: anybody may have changed something. Services of 1.0 send only this one."""
MOST_USERS: Final = 1000
"""The most users that one message names; with more, it names nobody."""

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0

Heard = Callable[[Collection[str] | None], None]
"""Takes the users of a wake-up; None for anybody."""


class Wake:
    """Tells projectors and listeners that there is something new; many calls in a row become few messages."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._asked = asyncio.Event()
        self._users: set[str] = set()

    def notify(self, users: Iterable[str]) -> None:
        """Ask for a message about these users to be sent, soon and without waiting."""
        if self._redis is not None:
            if len(self._users) <= MOST_USERS:
                self._users.update(users)
            self._asked.set()

    async def publish_forever(self) -> None:
        """Send a message whenever one was asked for. While Redis is away, drop it: whoever needs it also polls."""
        delay, outage = _FIRST_DELAY, Outage("projectors and listeners are not woken")
        while self._redis is not None:
            await self._asked.wait()
            self._asked.clear()
            users, self._users = self._users, set()
            try:
                await self._redis.publish(CHANNEL, message_of(users))
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
        publishing = asyncio.create_task(unending("the sending of wake-ups", wake.publish_forever))
        try:
            yield wake
        finally:
            await cancelled(publishing)


def message_of(users: Collection[str]) -> bytes:
    """Return the message about some users, a JSON array."""
    return orjson.dumps(list(users)) if 0 < len(users) <= MOST_USERS else SOMEBODY


def users_of(message: Any) -> list[str] | None:
    """Return the users that a message names; None if it names nobody, or is none of ours."""
    try:
        users = orjson.loads(message)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return [user for user in users if isinstance(user, str)] if isinstance(users, list) else None


async def listen_forever(redis: Redis, heard: Heard, means: str) -> None:
    """Call `heard` at every message, and after every connect, as messages sent before it were missed.

    `means` says in the log what an outage of Redis means for this listener.
    """
    delay, outage = _FIRST_DELAY, Outage(means)
    while True:
        try:
            async with redis.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                while True:
                    if message := await subscription.get_message(timeout=30):
                        outage.back()
                        heard(users_of(message["data"]))
                        delay = _FIRST_DELAY
        except (RedisError, OSError) as error:
            outage.away(error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

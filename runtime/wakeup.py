"""The wake-up over Redis after a commit: it names the users whose tasks changed.

It is best effort: nobody waits for it, and nothing depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

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
PAUSE_SECONDS: Final = 0.003
"""The shortest time between two messages of a process, so that many commits share one; the first goes at once."""

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0

Heard = Callable[[Collection[str] | None], None]
"""Takes the users of a wake-up; None for anybody."""


class Wake:
    """Tells projectors and listeners that there is something new; many calls in a row become few messages.

    A `sender` is named in the messages, so that listeners of the same process, who know already, can leave them out.
    """

    def __init__(self, redis: Redis | None, sender: str = "") -> None:
        self._redis = redis
        self._sender = sender
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
                await self._redis.publish(CHANNEL, message_of(users, self._sender))
                outage.back()
                delay = _FIRST_DELAY
                await asyncio.sleep(PAUSE_SECONDS)
            except (RedisError, OSError) as error:
                outage.away(error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)


@asynccontextmanager
async def open_wake(settings: Settings, sender: str = "") -> AsyncIterator[Wake]:
    """Yield a Wake that sends messages while the service runs."""
    async with open_redis(settings) as redis:
        wake = Wake(redis, sender)
        publishing = asyncio.create_task(unending("the sending of wake-ups", wake.publish_forever))
        try:
            yield wake
        finally:
            await cancelled(publishing)


def message_of(users: Collection[str], sender: str = "") -> bytes:
    """Return the message about some users: a JSON array of their names, with an object about the sender."""
    return orjson.dumps([{"sender": sender}, *users]) if 0 < len(users) <= MOST_USERS else SOMEBODY


class Message(NamedTuple):
    """A wake-up: the users that it names, None for anybody, and who sent it, "" if it does not say."""

    users: list[str] | None
    sender: str = ""


def read_message(message: Any) -> Message:
    """Return a message; one that is none of ours is about anybody. Services before 1.1 name no sender."""
    try:
        items = orjson.loads(message)
    except (orjson.JSONDecodeError, TypeError):
        return Message(None)
    if not isinstance(items, list):
        return Message(None)
    sender = next((str(item.get("sender", "")) for item in items if isinstance(item, dict)), "")
    return Message([item for item in items if isinstance(item, str)], sender)


async def listen_forever(redis: Redis, heard: Heard, means: str, *, but_from: str = "") -> None:
    """Call `heard` at every message, and after every connect, as messages sent before it were missed.

    `means` says in the log what an outage of Redis means for this listener. Messages of the sender `but_from` are left
    out.
    """
    delay, outage = _FIRST_DELAY, Outage(means)
    while True:
        try:
            async with redis.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                while True:
                    if message := await subscription.get_message(timeout=30):
                        outage.back()
                        users, sender = read_message(message["data"])
                        if users is None or not but_from or sender != but_from:
                            heard(users)
                        delay = _FIRST_DELAY
        except (RedisError, OSError) as error:
            outage.away(error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

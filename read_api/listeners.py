"""Who listens for changes of which user, and how they learn of them.

Wake-ups over Redis name users. About once a second one statement for all users who are listened for finds those whose
head has moved, because wake-ups may be lost, and an operator's changes send none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from asyncpg import PostgresError

from runtime.database import Database, UnavailableError
from runtime.redis_client import cancelled, open_redis
from runtime.unending import unending
from runtime.wakeup import listen_forever

if TYPE_CHECKING:
    from read_api.queries import Head
    from runtime.settings import Settings

LOOK_SECONDS: Final = 0.9
SHORTEST_PAUSE: Final = 0.02
PAUSE_OF_A_LISTENER: Final = 0.0001
"""A user's listeners are woken at most once in SHORTEST_PAUSE, and in as many of these as they are, in seconds.

So many small changes come together, and one user's many streams leave the process time for others.
"""
WITHOUT_REDIS: Final = "streams learn of changes up to a second later"

MOVED: Final = "SELECT * FROM tasklog.moved($1, $2)"


class Listener(Protocol):
    """Who wants to know."""

    def wake(self) -> None:
        """Learn that something may have changed."""


class _Audience:
    """The listeners of a user, and the head that they have seen: its position, a space, and its hash prefix."""

    __slots__ = ("head", "listeners", "quiet_until", "waking")

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.head = "0 "
        self.quiet_until = 0.0
        self.waking: asyncio.TimerHandle | None = None


class Listeners:
    """All listeners of a process, by user."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of: dict[str, _Audience] = {}

    def join(self, user_id: str, listener: Listener) -> None:
        """Wake `listener` from now on when the user's tasks may have changed."""
        audience = self._of.get(user_id)
        if audience is None:
            audience = self._of[user_id] = _Audience()
        audience.listeners.add(listener)

    def leave(self, user_id: str, listener: Listener) -> None:
        """Wake it no more."""
        audience = self._of[user_id]
        audience.listeners.discard(listener)
        if not audience.listeners:
            if audience.waking is not None:
                audience.waking.cancel()
            del self._of[user_id]

    def seen(self, user_id: str, head: Head) -> None:
        """Note that a listener has read everything up to a head."""
        if (audience := self._of.get(user_id)) is not None:
            audience.head = f"{head.position} {head.revision.partition('.')[0]}"

    def heard(self, users: Collection[str] | None) -> None:
        """Wake the listeners of users whose tasks changed; None stands for anybody."""
        for user_id in [*self._of] if users is None else users:
            if (audience := self._of.get(user_id)) is not None:
                self._wake(audience)

    def _wake(self, audience: _Audience) -> None:
        if audience.waking is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= audience.quiet_until:
            self._wake_now(audience)
        else:
            audience.waking = loop.call_at(audience.quiet_until, self._wake_now, audience)

    def _wake_now(self, audience: _Audience) -> None:
        audience.waking = None
        pause = max(SHORTEST_PAUSE, len(audience.listeners) * PAUSE_OF_A_LISTENER)
        audience.quiet_until = asyncio.get_running_loop().time() + pause
        for listener in audience.listeners:
            listener.wake()

    async def look_forever(self) -> None:
        """Look for users whose head has moved, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._of:
                await self._look()

    async def _look(self) -> None:
        # As lines: the driver takes several times as long for arrays.
        users, heads = "\n".join(self._of), "\n".join([audience.head for audience in self._of.values()])
        try:
            rows = await self._database.fetch(MOVED, users, heads)
        except (UnavailableError, PostgresError):
            return  # the next look finds what this one did not
        for row in rows:
            if (audience := self._of.get(row["user_id"])) is not None:
                audience.head = row["head"]
                self._wake(audience)


@asynccontextmanager
async def open_listeners(settings: Settings, database: Database) -> AsyncIterator[Listeners]:
    """Yield the listeners of a service, which learn of changes while it runs."""
    listeners = Listeners(database)
    async with open_redis(settings) as redis:
        running = [asyncio.create_task(unending("the look for changes", listeners.look_forever))]
        if redis is not None:
            listening = partial(listen_forever, redis, listeners.heard, WITHOUT_REDIS)
            running.append(asyncio.create_task(unending("the listening to wake-ups", listening)))
        try:
            yield listeners
        finally:
            await asyncio.gather(*map(cancelled, running))

"""Who listens for changes of which user, and how they learn of them.

What the same process has appended it tells at once, with the tasks, see read_api/advances.py. Wake-ups of others, over
Redis, name users. About once a second one statement for all users who are listened for finds those whose head has
moved, or whose rows were repaired, because wake-ups may be lost, and an operator's changes send none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from asyncpg import PostgresError

from read_api.advances import KEPT_SECONDS, RecentAdvances
from runtime.database import Database, UnavailableError
from runtime.redis_client import cancelled, open_redis
from runtime.unending import unending
from runtime.wakeup import listen_forever

if TYPE_CHECKING:
    from event_log.followers import Advance, Followers
    from read_api.changes import Changes
    from read_api.queries import Head
    from read_model.bookmark import Bookmark
    from runtime.settings import Settings

LOOK_SECONDS: Final = 0.9
SHORTEST_PAUSE: Final = 0.02
PAUSE_OF_A_LISTENER: Final = 0.0001
"""A user's listeners are woken at most once in SHORTEST_PAUSE, and in as many of these as they are, in seconds.

So many small changes come together, and one user's many streams leave the process time for others.
"""
WITHOUT_REDIS: Final = "streams learn of changes up to a second later"

MOVED: Final = "SELECT * FROM tasklog.moved($1, $2)"
_NOTHING_SEEN: Final = "0 "
_DIFFERENT: Final = "?"


class Listener(Protocol):
    """Who wants to know."""

    def wake(self) -> None:
        """Learn that something may have changed."""


class _Audience:
    """The listeners of a user, each with the head that it has seen, or was told of by a look.

    A head is a position, a space, and a revision. `news` counts what was heard that this process has not appended.
    """

    __slots__ = ("advances", "listeners", "news", "quiet_until", "waking")

    def __init__(self) -> None:
        self.listeners: dict[Listener, str] = {}
        self.advances: RecentAdvances | None = None
        self.news = 0
        self.quiet_until = 0.0
        self.waking: asyncio.TimerHandle | None = None

    @property
    def head(self) -> str:
        """Return the head that all listeners have seen; `_DIFFERENT`, which equals no head, if these are several."""
        heads = iter(self.listeners.values())
        first = next(heads)
        return first if all(head == first for head in heads) else _DIFFERENT


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
        audience.listeners[listener] = _NOTHING_SEEN

    def leave(self, user_id: str, listener: Listener) -> None:
        """Wake it no more."""
        audience = self._of[user_id]
        audience.listeners.pop(listener, None)
        if not audience.listeners:
            if audience.waking is not None:
                audience.waking.cancel()
            del self._of[user_id]

    def seen(self, user_id: str, listener: Listener, head: Head) -> None:
        """Note that a listener has seen everything up to a head; others of the same user may not have."""
        audience = self._of.get(user_id)
        if audience is not None and listener in audience.listeners:
            audience.listeners[listener] = f"{head.position} {head.revision}"

    def news(self, user_id: str) -> int:
        """Return a number that grows when something is heard of a user that this process has not appended."""
        audience = self._of.get(user_id)
        return 0 if audience is None else audience.news

    def follows(self, user_id: str) -> bool:
        """Return whether somebody listens for changes of a user."""
        return user_id in self._of

    def advanced(self, advance: Advance) -> None:
        """Keep what this process has appended for a user's listeners."""
        if (audience := self._of.get(advance.user_id)) is not None:
            if audience.advances is None:
                audience.advances = RecentAdvances()
            audience.advances.add(advance)
            forget = audience.advances.forget
            asyncio.get_running_loop().call_later(KEPT_SECONDS, forget, advance.after.position)

    def told(self, user_id: str, since: Bookmark, limit: int) -> Changes | None:
        """Return what changed since a bookmark, if this process has appended all of it; None if it has to be read."""
        audience = self._of.get(user_id)
        if audience is None or audience.advances is None:
            return None
        return audience.advances.since(since, limit)

    def heard(self, users: Collection[str]) -> None:
        """Wake the listeners of users whose tasks this process has changed."""
        for user_id in users:
            if (audience := self._of.get(user_id)) is not None:
                self._wake(audience)

    def heard_from_others(self, users: Collection[str] | None) -> None:
        """Wake the listeners of users whose tasks another process has changed; None stands for anybody."""
        for user_id in [*self._of] if users is None else users:
            if (audience := self._of.get(user_id)) is not None:
                audience.news += 1
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
            audience = self._of.get(row["user_id"])
            if audience is not None and audience.head != row["head"]:  # it may have been seen meanwhile
                audience.listeners = dict.fromkeys(audience.listeners, row["head"])
                audience.news += 1
                self._wake(audience)


@asynccontextmanager
async def open_listeners(settings: Settings, database: Database, followers: Followers) -> AsyncIterator[Listeners]:
    """Yield the listeners of a service, which learn of changes while it runs; they join the process's followers."""
    listeners = Listeners(database)
    followers.join(listeners)
    async with open_redis(settings) as redis:
        running = [asyncio.create_task(unending("the look for changes", listeners.look_forever))]
        if redis is not None:
            listening = partial(
                listen_forever, redis, listeners.heard_from_others, WITHOUT_REDIS, but_from=followers.sender
            )
            running.append(asyncio.create_task(unending("the listening to wake-ups", listening)))
        try:
            yield listeners
        finally:
            followers.leave(listeners)
            await asyncio.gather(*map(cancelled, running))

"""A user's changes as the source of a stream, and as what a long poll waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from edge.event_stream import Event
from edge.holds import End
from read_api.changes import Changes, beginning

if TYPE_CHECKING:
    from edge.holds import Hold, Holds
    from edge.requests import ServiceRequest
    from read_api.change_reader import ChangeReader
    from read_api.listeners import Listeners
    from read_model.bookmark import Bookmark


class ChangeSource:
    """What changed in a user's tasks since a bookmark; without one it begins with all tasks."""

    __slots__ = ("_changes", "_hold", "_is_begun", "_limit", "_listeners", "_more", "_news", "_since", "_user_id")

    def __init__(
        self, changes: ChangeReader, listeners: Listeners, user_id: str, since: Bookmark | None, limit: int
    ) -> None:
        self._changes, self._listeners = changes, listeners
        self._user_id, self._since, self._limit = user_id, since, limit
        self._is_begun = self._more = False
        self._hold: Hold | None = None
        self._news = 0

    def join(self, hold: Hold) -> None:
        """Wake `hold` from now on when the user's tasks may have changed."""
        self._listeners.join(self._user_id, hold)
        self._hold = hold

    def leave(self, hold: Hold) -> None:
        """Wake it no more."""
        self._listeners.leave(self._user_id, hold)

    async def changes(self) -> Changes:
        """Return what changed since the last answer, and go on from there; raises what `ChangeReader.changes` does."""
        news = self._listeners.news(self._user_id)
        found = await self._changes.changes(self._user_id, self._since, self._limit)
        self._news = news
        return self._reached(found)

    async def later_changes(self) -> Changes:
        """Return the same for whoever was woken: without a read, where this process has appended the changes itself.

        What was heard from others since the last read has to be read: it may come behind.
        """
        since = self._since
        if since is None or self._news != self._listeners.news(self._user_id):
            return await self.changes()
        told = self._listeners.told(self._user_id, since, self._limit)
        return await self.changes() if told is None else self._reached(told)

    def _reached(self, found: Changes) -> Changes:
        self._since, self._more = found.bookmark, found.more
        if self._hold is not None and not found.more:
            self._listeners.seen(self._user_id, self._hold, found.head)
        return found

    async def next(self) -> Event | None:
        """Return the next changes as an event; None if there are none, but for the first time."""
        found = await (self.later_changes() if self._is_begun else self.changes())
        is_first, self._is_begun = not self._is_begun, True
        if found.is_empty and not is_first:
            return None
        if found.parts is not None:
            return Event(str(found.bookmark), b"", found.body_in_parts(), found.more)
        return Event(str(found.bookmark), found.body, None, found.more)

    def nothing(self) -> Event:
        """Return an event that says that nothing has changed since the last one."""
        assert self._since is not None
        json = beginning(self._since, more=self._more) + b'[],"deleted":[]}'
        return Event(str(self._since), json, None, self._more)


async def wait_for_changes(source: ChangeSource, request: ServiceRequest, holds: Holds, seconds: float) -> Changes:
    """Return the next changes, or an empty answer after `seconds` and at a shutdown.

    Raises:
        ClientDisconnect: the client is gone.
        ProblemError: too many requests are held open.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    async with holds.hold(request) as hold:
        source.join(hold)
        try:
            found = await source.changes()
            while found.is_empty and hold.end is None and (left := deadline - loop.time()) > 0:
                await hold.wait(left)
                hold.take_beat()
                if hold.take_change():
                    found = await source.later_changes()
        finally:
            source.leave(hold)
    if hold.end is End.GONE:
        raise ClientDisconnect
    return found

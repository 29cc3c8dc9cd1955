"""Requests that are held open, streams and long polls: they have a limit of their own, and end when they should.

A held request ends when its client is gone, when its token has expired, and at the start of a shutdown, long before
pools are closed. It takes no place of ordinary requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from edge.problem_kinds import Kind
from edge.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from edge.requests import ServiceRequest

BEAT_SECONDS: Final = 15
"""How often a stream sends a comment, so that nobody between takes the connection for dead."""
_SLICES: Final = 10
"""Into how many parts the signs of life of a second are divided, so that thousands of them hold up nobody."""

_open: Final[set[Holds]] = set()


class End(Enum):
    """Why a held request ends."""

    GONE = auto()
    EXPIRED = auto()
    STOPPING = auto()


class Hold:
    """One request that is held open. Whoever carries it out waits here for the next thing to do.

    `sign` gives a sign of life at once; it is only called while the request waits. Without it, whoever waits is woken.
    """

    __slots__ = ("_changed", "_is_beat_due", "_waiter", "end", "expiring", "sign", "watching")

    def __init__(self) -> None:
        self.end: End | None = None
        self.sign: Callable[[], None] | None = None
        self.expiring: asyncio.TimerHandle | None = None
        self.watching: asyncio.Task[None] | None = None
        self._changed = self._is_beat_due = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Say that something may have changed."""
        self._changed = True
        self._rouse()

    def beat(self) -> None:
        """Give a sign of life, or say that it is time for one."""
        if self.sign is not None and self._waiter is not None and not self._waiter.done():
            self.sign()  # a tenth of what it costs to wake a task
        else:
            self._is_beat_due = True
            self._rouse()

    def finish(self, end: End) -> None:
        """Say that the request is to end."""
        self.end = self.end or end
        self._rouse()

    def take_change(self) -> bool:
        """Return whether something may have changed since this was last called."""
        changed, self._changed = self._changed, False
        return changed

    def take_beat(self) -> bool:
        """Return whether it is time for a sign of life, once."""
        due, self._is_beat_due = self._is_beat_due, False
        return due

    async def wait(self, seconds: float | None = None) -> None:
        """Return when there is something to do or the request is to end, at the latest after `seconds`."""
        if self._changed or self._is_beat_due or self.end:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._rouse)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Holds:
    """All requests that a process holds open: at most `most`, of which one user may have half."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: Counter[str] = Counter()
        self._rounds: list[set[Hold]] = [set() for _ in range(BEAT_SECONDS * _SLICES)]
        self._round = 0
        self._beat_at = 0.0
        self._beating: asyncio.TimerHandle | None = None
        self._is_stopping = False

    @asynccontextmanager
    async def hold(self, request: ServiceRequest) -> AsyncIterator[Hold]:
        """Hold a user's request open for the block.

        Raises:
            ProblemError: 503, too many are held open, or the process ends; 429, too many of this user.
        """
        user = request.record.user_id or ""
        self._check_room(user)
        hold, beats = Hold(), self._rounds[self._round]
        loop = asyncio.get_running_loop()
        hold.expiring = loop.call_later(request.record.valid_until - time.time(), hold.finish, End.EXPIRED)
        hold.watching = asyncio.create_task(_watch(request, hold))
        self._of[user] += 1
        beats.add(hold)
        if self._beating is None:
            self._plan_beat(loop.time())
        try:
            with request.aside():
                yield hold
        finally:
            beats.discard(hold)
            self._of[user] -= 1
            if not self._of[user]:
                del self._of[user]
            hold.expiring.cancel()
            hold.watching.cancel()

    def _check_room(self, user: str) -> None:
        if self._is_stopping or self._of.total() >= self._most:
            detail = "The service has too many open streams at the moment, try again"
            raise ProblemError(Kind.OVERLOADED, detail, headers={"Retry-After": "5"})
        if self._of[user] >= (self._most + 1) // 2:
            detail = "You have too many open streams: close some, or ask without `wait`"
            raise ProblemError(Kind.TOO_MANY_STREAMS, detail, headers={"Retry-After": "5"})

    def _beat(self) -> None:
        """Let a part of the requests give a sign of life; each is in one part, and every part has its moment."""
        self._round = (self._round + 1) % len(self._rounds)
        for hold in self._rounds[self._round]:
            hold.beat()
        self._beating = None
        if self._of:
            self._plan_beat(max(self._beat_at, asyncio.get_running_loop().time() - 1))

    def _plan_beat(self, last: float) -> None:
        """Plan the beat after one at `last`, a time of the loop, so that the beats of a slow process do not drift."""
        self._beat_at = last + 1 / _SLICES
        self._beating = asyncio.get_running_loop().call_at(self._beat_at, self._beat)

    @property
    def count(self) -> int:
        """Return how many requests are held open."""
        return self._of.total()

    def end(self) -> None:
        """End all held requests, and hold no further one."""
        self._is_stopping = True
        for hold in [hold for beats in self._rounds for hold in beats]:
            hold.finish(End.STOPPING)


async def _watch(request: ServiceRequest, hold: Hold) -> None:
    await request.gone()
    hold.finish(End.GONE)


@contextmanager
def open_holds(most: int) -> Iterator[Holds]:
    """Yield the held requests of a service; `end_holds` ends them too."""
    holds = Holds(most)
    _open.add(holds)
    try:
        yield holds
    finally:
        _open.discard(holds)


def held_open() -> int:
    """Return how many requests this process holds open."""
    return sum(holds.count for holds in _open)


def end_holds() -> None:
    """End all requests that this process holds open: it is about to stop."""
    for holds in _open:
        holds.end()

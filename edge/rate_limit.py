"""How many requests a user may make in a span of time: counted here, and added up over all services in Redis.

No request waits for Redis. Each service counts its own requests, and reports them to Redis after every twentieth of the
limit; Redis answers with the sum over all services. So the limit is exact with one service, and each further service
may let a twentieth more through. While Redis is away there is no limit.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from edge.problem_kinds import Kind
from edge.problems import ProblemError
from runtime.redis_client import Outage, cancelled, open_redis
from runtime.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from limits import RateLimitItem
    from limits.aio.storage import Storage
    from redis.asyncio import Redis

_PARTS: Final = 20
"""How many reports to Redis a user's full limit causes."""
_USERS: Final = 50_000
"""The most users counted at a time."""
_RETRY_SECONDS: Final = 2.0


@dataclass(kw_only=True, slots=True)
class _Window:
    """A user's requests until UNIX time `ends`: `reported` is Redis's count, `ours` counts those not reported yet."""

    ends: float
    reported: int = 0
    ours: int = 0


class RateLimiter:
    """Counts requests by user."""

    def __init__(self, limit: RateLimitItem, storage: Storage) -> None:
        self._limit = limit
        self._storage = storage
        self._part = max(1, limit.amount // _PARTS)
        self._windows: dict[str, _Window] = {}
        self._due: set[str] = set()
        self._asked = asyncio.Event()
        self._reachable = False
        errors = storage.base_exceptions
        self._errors: tuple[type[Exception], ...] = (OSError, *(errors if isinstance(errors, tuple) else (errors,)))

    def count(self, user_id: str) -> None:
        """Count a request.

        Raises:
            ProblemError: 429, the user's requests have reached the limit.
        """
        if not self._reachable:
            return
        now = time.time()
        window = self._windows.get(user_id)
        if window is None or window.ends <= now:
            window = self._begin(user_id, now)
        if window.reported + window.ours >= self._limit.amount:
            wait = {"Retry-After": str(max(1, ceil(window.ends - now)))}
            raise ProblemError(Kind.TOO_MANY_REQUESTS, "Too many requests, try again later", headers=wait)
        window.ours += 1
        if window.ours >= self._part:
            self._due.add(user_id)
            self._asked.set()

    def _begin(self, user_id: str, now: float) -> _Window:
        if len(self._windows) >= _USERS:
            self._windows = {user: window for user, window in self._windows.items() if window.ends > now}
        if len(self._windows) >= _USERS:
            del self._windows[next(iter(self._windows))]
        window = self._windows[user_id] = _Window(ends=now + self._limit.get_expiry())
        return window

    async def add_up_forever(self) -> None:
        """Exchange counts with Redis when due; switch the limit off while that fails."""
        outage = Outage("requests are not limited")
        while True:
            try:
                await self._add_up()
                if not self._reachable:
                    await self._storage.get("reachable")
                    self._reachable = True
                    outage.back()
            except self._errors as error:
                self._reachable = False
                outage.away(error)
            if self._reachable:
                await self._asked.wait()
                self._asked.clear()
            else:
                self._windows.clear()
                self._due.clear()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _add_up(self) -> None:
        while self._due:
            user_id = self._due.pop()
            if (window := self._windows.get(user_id)) is None:
                continue
            key, counted = self._limit.key_for(user_id), window.ours
            known = await self._storage.incr(key, self._limit.get_expiry(), counted)
            if known == counted or not window.reported:
                window.ends = await self._storage.get_expiry(key)
            window.reported = known
            window.ours -= counted


@asynccontextmanager
async def rate_limiter(settings: Settings) -> AsyncIterator[RateLimiter | None]:
    """Yield the limiter of a service, or None without RATE_LIMIT.

    Raises:
        SettingsError: RATE_LIMIT is not valid, or there is no Redis to count in.
    """
    if settings.rate_limit is None:
        yield None
        return
    async with open_redis(settings) as redis:
        if redis is None:
            raise SettingsError("RATE_LIMIT counts in Redis: set REDIS_URL as well.")
        limiter = _make(settings.rate_limit, redis)
        adding = asyncio.create_task(limiter.add_up_forever())
        try:
            yield limiter
        finally:
            await cancelled(adding)


def _make(rate: str, redis: Redis) -> RateLimiter:
    from limits import parse  # noqa: PLC0415 - only needed with a limit
    from limits.aio.storage import RedisStorage  # noqa: PLC0415

    try:
        limit = parse(rate)
    except ValueError:
        raise SettingsError("RATE_LIMIT must be a number of requests in a span of time, such as 600/minute.") from None
    pool: Any = redis.connection_pool
    return RateLimiter(limit, RedisStorage("async+redis://", implementation="redispy", connection_pool=pool))

"""Coalesce reads: one statement answers requests that arrive at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from asyncpg import PostgresError

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE: Final = 2
"""The most fetches in progress at a time."""


class Coalescer(Generic[K, V]):
    """Collects keys while a fetch is in progress, and fetches all of them with the next one.

    A fetch begins after every request that it answers, so no answer is older than its request.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Sequence[V]]], *, at_most: int = 500) -> None:
        """Use `fetch`, which returns a value for each of up to `at_most` keys, in order."""
        self._fetch = fetch
        self._at_most = at_most
        self._free = _AT_ONCE
        self._asked: list[tuple[K, asyncio.Future[V]]] = []
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Return how many requests wait for the next fetch."""
        return len(self._asked)

    async def get(self, key: K) -> V:
        """Return the value of `key`, or raise what the fetch raised."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._asked.append((key, future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._answer())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            return await future
        finally:
            del future  # an error's traceback leads here, and must not lead back to the error

    async def _answer(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked[: self._at_most], self._asked[self._at_most :]
                await self._fetch_for(asked)
        finally:
            self._free += 1

    async def _fetch_for(self, asked: Sequence[tuple[K, asyncio.Future[V]]]) -> None:
        """Fetch for some requests; if Postgres refuses the statement, only the one that causes it gets the error."""
        try:
            values = await self._fetch([key for key, _ in asked])
        except Exception as error:  # noqa: BLE001 - every waiting request gets it
            if len(asked) > 1 and isinstance(error, PostgresError):
                middle = len(asked) // 2
                await self._fetch_for(asked[:middle])
                await self._fetch_for(asked[middle:])
                return
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), value in zip(asked, values, strict=True):
                if not future.done():
                    future.set_result(value)

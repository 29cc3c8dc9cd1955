"""Turns: statements that may be heavy run a few at a time, and one per user."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from event_log.append import Fetching
from read_api.rows import Rows
from runtime.database import UnavailableError

AT_ONCE: Final = 3
"""How many run at a time: fewer than there are connections, so that light statements always find one."""
_WAITING_SECONDS: Final = 30.0


class Turns:
    """Queues heavy statements: one per user runs at a time, and `AT_ONCE` of all users."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._all = asyncio.Semaphore(AT_ONCE)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, user_id: str) -> Fetching:
        """Return the database for a user's heavy statements."""
        return _UsersTurns(self, user_id)

    async def fetch(self, user_id: str, query: str, *args: Any) -> Sequence[Any]:
        """Run a statement when it is its turn, and return its rows.

        Raises:
            UnavailableError: its turn did not come in time, or the database cannot answer.
        """
        lock = self._locks.setdefault(user_id, asyncio.Lock())
        try:
            async with asyncio.timeout(_WAITING_SECONDS) as waiting, lock, self._all:
                waiting.reschedule(None)
                return await self._rows.of([user_id]).fetch(query, *args)
        except TimeoutError as error:
            raise UnavailableError("too many heavy reads") from error


class _UsersTurns:
    def __init__(self, turns: Turns, user_id: str) -> None:
        self._turns, self._user_id = turns, user_id

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        return await self._turns.fetch(self._user_id, query, *args)

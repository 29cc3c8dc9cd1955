"""Read tasks fast and never stale: who asks together is answered together, and what has not changed is kept.

A rendered list is right as long as its user's head is where it was, so a kept one needs no invalidation: only the
head is read, for many users in one small statement.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

from read_api.etags import entity_tag, is_known
from read_api.queries import Head, TaskBody, TaskPage, TaskQuery, get_tasks, heads, lists
from read_api.together import Together
from runtime.database import Database

KEPT_BYTES: Final = 16 * 1024 * 1024
"""How much is kept of rendered lists, all together."""

KEPT_SECONDS: Final = 600
"""How long a list is kept that nobody asks for: what was erased is not kept in memory for long."""

LISTS_TOGETHER: Final = 10
"""How many lists one statement reads at most: they may be long."""

_PLAIN: Final = TaskQuery()

_Key: TypeAlias = tuple[str, TaskQuery]
_TaskKey: TypeAlias = tuple[str, int]


class Reader:
    """The reads of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heads = Together(self._fetch_heads)
        self._tasks = Together(self._fetch_tasks)
        self._lists = Together(self._fetch_lists, at_most=LISTS_TOGETHER)
        self._kept = KeptPages()

    async def list(self, user_id: str, query: TaskQuery, known: str | None = None) -> tuple[str, TaskPage | None]:
        """The list's entity tag, and the list; None where the client's tags `known` hold it already.

        Raises:
            HistoryError, UnreadableEventError: an event that is not projected yet cannot be followed.
            TooLongError: it is longer than Postgres can make it.
            UnavailableError: the database cannot answer.
        """
        kept = self._kept.get((user_id, query))
        if kept is not None or known is not None:
            head = await self._heads.get(user_id)
            etag = _etag(head, query)
            if known is not None and is_known(etag, known):
                return etag, None
            if kept is not None and kept.head == head:
                return etag, kept
        page = await self._lists.get((user_id, query))
        if isinstance(page, Exception):
            raise page
        self._kept.keep((user_id, query), page)
        return _etag(page.head, query), page

    async def task(self, user_id: str, task_id: int) -> TaskBody | None:
        """One of the user's tasks, None if there is none.

        Raises:
            HistoryError, UnreadableEventError: an event of the task that is not projected yet cannot be followed.
            UnavailableError: the database cannot answer.
        """
        task = await self._tasks.get((user_id, task_id))
        if isinstance(task, Exception):
            raise task
        return task

    async def _fetch_heads(self, users: Sequence[str]) -> Sequence[Head]:
        return await heads(self._database, users)

    async def _fetch_lists(self, keys: Sequence[_Key]) -> Sequence[TaskPage | Exception]:
        return await lists(self._database, keys)

    async def _fetch_tasks(self, keys: Sequence[_TaskKey]) -> Sequence[TaskBody | Exception | None]:
        return await get_tasks(self._database, keys)


class KeptPages:
    """Rendered lists by user and query: the least recently used go first, for want of room or after ten minutes."""

    def __init__(self, limit: int = KEPT_BYTES, seconds: float = KEPT_SECONDS) -> None:
        self._pages: OrderedDict[_Key, tuple[TaskPage, float]] = OrderedDict()
        self._limit = limit
        self._seconds = seconds
        self._bytes = 0
        self._forgetting: asyncio.TimerHandle | None = None

    def get(self, key: _Key) -> TaskPage | None:
        """The page that was kept last, of whatever head."""
        if (kept := self._pages.get(key)) is None:
            return None
        self._pages[key] = kept[0], time.monotonic()
        self._pages.move_to_end(key)
        return kept[0]

    def keep(self, key: _Key, page: TaskPage) -> None:
        """Keep `page` in place of an older one, unless it alone is a large part of the limit."""
        if (old := self._pages.pop(key, None)) is not None:
            self._bytes -= _weight(old[0])
        if _weight(page) <= self._limit // 8:
            self._pages[key] = page, time.monotonic()
            self._bytes += _weight(page)
        while self._bytes > self._limit:
            self._forget_first()
        if self._forgetting is None:
            self._forget_old()

    def _forget_first(self) -> None:
        _, (page, _) = self._pages.popitem(last=False)
        self._bytes -= _weight(page)

    def _forget_old(self) -> None:
        """Forget what nobody asked for in time, and come back when that will be so of the next."""
        now = time.monotonic()
        while self._pages and (age := now - next(iter(self._pages.values()))[1]) >= self._seconds:
            self._forget_first()
        self._forgetting = (
            asyncio.get_running_loop().call_later(self._seconds - age, self._forget_old) if self._pages else None
        )


def _weight(page: TaskPage) -> int:
    return len(page.body) + 1000


def _etag(head: Head, query: TaskQuery) -> str:
    """Of the user's head, which every change moves, and the query where it is not the plain one."""
    return entity_tag(head, None if query == _PLAIN else query)

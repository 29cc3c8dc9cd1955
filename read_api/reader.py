"""Read tasks fast and never stale: simultaneous reads are combined, and unchanged lists come from a cache.

A rendered list is correct while its user's head stays the same, so the cache needs no invalidation: only the head is
read, for many users in one small statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias
from weakref import WeakSet

from edge.etags import is_known
from read_api.coalescer import Coalescer
from read_api.etags import entity_tag
from read_api.kept_pages import KeptPages, PageKey
from read_api.long_lists import long_list, task_at
from read_api.queries import PLAIN, Head, Long, TaskBody, TaskPage, TaskQuery, get_tasks, heads, lists
from read_api.rows import PrimaryRows, Rows
from read_api.turns import Turns
from runtime.cache import ExpiringCache
from runtime.database import Database

LISTS_AT_ONCE: Final = 10
"""The most lists in one statement, because they may be long."""

_LONG_LISTS: Final = 10_000
_LONG_SECONDS: Final = 60.0
"""How many lists are remembered to be long, and for how long after they were last read, in seconds.

Nothing depends on it: a list that has become short is only sent in parts for a while.
"""

_TaskKey: TypeAlias = tuple[str, int]


_readers: Final[WeakSet[Reader]] = WeakSet()


class Reader:
    """The reads of one process: heads on the primary, and rows where `rows` says, on the primary too by default."""

    def __init__(self, primary: Database, rows: Rows | None = None) -> None:
        self._primary = primary
        self.rows = rows or PrimaryRows(primary)
        self._heads = Coalescer(self._fetch_heads)
        self._tasks = Coalescer(self._fetch_tasks)
        self._lists = Coalescer(self._fetch_lists, at_most=LISTS_AT_ONCE)
        self._finds = Coalescer(self._fetch_lists, at_most=LISTS_AT_ONCE)
        self._kept = KeptPages()
        self._long: ExpiringCache[PageKey, Long] = ExpiringCache(_LONG_LISTS, _LONG_SECONDS)
        self.turns = Turns(self.rows)
        _readers.add(self)

    def waiting(self) -> dict[str, int]:
        """Return how many reads wait for the next statement, by what they read."""
        return {
            "heads": self._heads.waiting,
            "tasks": self._tasks.waiting,
            "lists": self._lists.waiting,
            "finds": self._finds.waiting,
        }

    async def list(self, user_id: str, query: TaskQuery, known: str | None = None) -> tuple[str, TaskPage | None]:
        """Return the list's ETag, and the list, or None if the client's ETags `known` include it.

        Raises:
            HistoryError, UnreadableEventError: an event that is not projected yet is impossible or unreadable.
            ElsewhereError, ArrivingError: the user is not here.
            UnavailableError: the database cannot answer.
        """
        kept = self._kept.get((user_id, query))
        if kept is not None or known is not None:
            head = await self._heads.get(user_id)
            etag = _etag(head, query)
            if head.position:  # without a stream, the user may be elsewhere: the list tells
                if known is not None and is_known(etag, known):
                    return etag, None
                if kept is not None and kept.head == head:
                    return etag, kept
        reads = self._lists if query.is_indexed else self._finds
        page = self._long.get((user_id, query)) or await reads.get((user_id, query))
        if isinstance(page, Exception):
            raise page
        if page is Long.LONG:
            self._long.keep((user_id, query), page, 1)
            page = await long_list(self.turns.of(user_id), user_id, query)
            return _etag(page.head, query), page
        self._kept.keep((user_id, query), page)
        etag = _etag(page.head, query)
        return etag, None if known is not None and is_known(etag, known) else page

    async def task(self, user_id: str, task_id: int) -> TaskBody | None:
        """Return one of the user's tasks, or None.

        Raises:
            HistoryError, UnreadableEventError: an unprojected event of the task is impossible or unreadable.
            ElsewhereError, ArrivingError: the user is not here.
            UnavailableError: the database cannot answer.
        """
        task = await self._tasks.get((user_id, task_id))
        if isinstance(task, Exception):
            raise task
        if task is Long.LONG:
            return await task_at(self.turns.of(user_id), user_id, task_id)
        return task

    async def _fetch_heads(self, users: Sequence[str]) -> Sequence[Head]:
        return await heads(self._primary, users)

    async def _fetch_lists(self, keys: Sequence[PageKey]) -> Sequence[TaskPage | Long | Exception]:
        return await lists(self.rows.of([user_id for user_id, _ in keys]), keys)

    async def _fetch_tasks(self, keys: Sequence[_TaskKey]) -> Sequence[TaskBody | Long | Exception | None]:
        return await get_tasks(self.rows.of([user_id for user_id, _ in keys]), keys)


def reads_waiting() -> dict[str, int]:
    """Return how many reads of this process wait for the next statement, by what they read."""
    waiting: Counter[str] = Counter()
    for reader in _readers:
        waiting.update(reader.waiting())
    return dict(waiting)


def _etag(head: Head, query: TaskQuery) -> str:
    """Return the ETag for the user's head, which every change moves, and the query unless it is the plain one."""
    return entity_tag(head, None if query is PLAIN or query == PLAIN else query)

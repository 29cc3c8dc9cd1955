"""Read changes fast: simultaneous reads are combined, and listeners that ask the same share one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from read_api.changes import Changes, TooMuchError, bookmark_of, changes, changes_alone, next_page
from read_api.coalescer import Coalescer
from read_api.cursor import Cursor
from read_api.queries import TaskQuery
from read_model.bookmark import Bookmark

if TYPE_CHECKING:
    from read_api.reader import Reader

TOGETHER: Final = 100
"""The most answers in one statement."""


class ChangeReader:
    """The reads of changes of one process."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._changes = Coalescer(self._fetch, at_most=TOGETHER)

    async def changes(self, user_id: str, since: Bookmark | None, limit: int) -> Changes:
        """Return what changed since a bookmark, or the first of all tasks, at most `limit` of them.

        Raises:
            UnknownBookmarkError: the bookmark is of another history, or from before an erasure or a repair.
            HistoryError, UnreadableEventError: an event that is not projected yet is impossible or unreadable.
            UnavailableError: the database cannot answer.
        """
        if since is None:
            return await self._walk(user_id, None, None, limit)
        if since.after is not None:
            start = replace(since, after=None)
            await self._since(user_id, start, 0)
            return await self._walk(user_id, start, since.after, limit)
        return await self._since(user_id, since, limit)

    async def _since(self, user_id: str, since: Bookmark, limit: int) -> Changes:
        key = (user_id, since, limit)
        found = await self._changes.get(key)
        if isinstance(found, TooMuchError):
            return await changes_alone(self._reader.turns.of(user_id), key)
        if isinstance(found, Exception):
            raise found
        return found

    async def _walk(self, user_id: str, start: Bookmark | None, after: tuple[int, int] | None, limit: int) -> Changes:
        """Return the next page of all tasks, in the order of the list."""
        cursor = None if after is None else Cursor(sort="created", status="all", key=after[0], id=after[1])
        _, page = await self._reader.list(user_id, TaskQuery(limit=limit, after=cursor))
        assert page is not None
        return next_page(start or bookmark_of(page.head), page)

    async def _fetch(self, keys: Sequence[tuple[str, Bookmark, int]]) -> Sequence[Changes | Exception]:
        different = list(dict.fromkeys(keys))
        rows = self._reader.rows.of([user_id for user_id, _, _ in different])
        found = dict(zip(different, await changes(rows, different), strict=True))
        return [found[key] for key in keys]

"""Recently rendered lists, kept so that an unchanged list is not read again."""

from __future__ import annotations

from typing import Final, TypeAlias

from read_api.queries import TaskPage, TaskQuery
from runtime.cache import ExpiringCache

KEPT_BYTES: Final = 8 * 1024 * 1024
"""The most bytes of rendered lists in memory."""

KEPT_SECONDS: Final = 600
"""How long an unused list is kept, in seconds: erased text must not stay in memory for long."""

PageKey: TypeAlias = tuple[str, TaskQuery]


class KeptPages:
    """Cached lists by user and query: the least recently used are dropped over `limit` bytes, or after `seconds`."""

    def __init__(self, limit: int = KEPT_BYTES, seconds: float = KEPT_SECONDS) -> None:
        self._kept: ExpiringCache[PageKey, TaskPage] = ExpiringCache(limit, seconds)
        self._largest = limit // 8

    def get(self, key: PageKey) -> TaskPage | None:
        """Return the cached page, of any head, or None."""
        return self._kept.use(key)

    def keep(self, key: PageKey, page: TaskPage) -> None:
        """Cache `page` in place of an older one, unless it would take a large part of the limit."""
        weight = len(page.body) + 4 * key[1].filters.size + 1000
        if weight <= self._largest:
            self._kept.keep(key, page, weight)
        else:
            self._kept.forget(key)

"""The lists that were lately rendered, so that one which has not changed is not read again."""

from __future__ import annotations

from typing import Final, TypeAlias

from read_api.queries import TaskPage, TaskQuery
from runtime.cache import ExpiringCache

KEPT_BYTES: Final = 16 * 1024 * 1024
"""How much is kept of rendered lists, all together."""

KEPT_SECONDS: Final = 600
"""How long a list is kept that nobody asks for: what was erased is not kept in memory for long."""

PageKey: TypeAlias = tuple[str, TaskQuery]


class KeptPages:
    """Rendered lists by user and query: the least recently used go first, for want of room or after ten minutes."""

    def __init__(self, limit: int = KEPT_BYTES, seconds: float = KEPT_SECONDS) -> None:
        self._kept: ExpiringCache[PageKey, TaskPage] = ExpiringCache(limit, seconds)
        self._largest = limit // 8

    def get(self, key: PageKey) -> TaskPage | None:
        """Return the page that was kept last, of whatever head."""
        page = self._kept.get(key)
        if page is not None:
            self._kept.touch(key)
        return page

    def keep(self, key: PageKey, page: TaskPage) -> None:
        """Keep `page` in place of an older one, unless it alone is a large part of the limit."""
        weight = len(page.body) + 1000
        if weight <= self._largest:
            self._kept.keep(key, page, weight)
        else:
            self._kept.forget(key)

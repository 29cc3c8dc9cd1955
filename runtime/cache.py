"""A cache with a size limit and a time to live, least recently used entries first to go."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Kept(NamedTuple, Generic[V]):
    value: V
    weight: int
    since: float


class ExpiringCache(Generic[K, V]):
    """A cache that drops its oldest entry when it is over `limit`, and every entry after `seconds`.

    An entry's age counts from when it was last kept or used. `limit` is the sum of the weights of all entries, in
    the caller's own unit.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._limit = limit
        self._seconds = seconds
        self._weight = 0
        self._forgetting: asyncio.TimerHandle | None = None

    def get(self, key: K) -> V | None:
        """Return the cached value, or None."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def use(self, key: K) -> V | None:
        """Return the cached value, or None, and restart its time to live."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept[key] = _Kept(kept.value, kept.weight, time.monotonic())
        self._kept.move_to_end(key)
        return kept.value

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Cache `value`; it replaces an older value of this key."""
        self.forget(key)
        self._kept[key] = _Kept(value, weight, time.monotonic())
        self._weight += weight
        while self._weight > self._limit:
            self._forget_first()
        if self._forgetting is None:
            self._forget_old()

    def forget(self, key: K) -> None:
        """Remove the entry, if there is one."""
        if (kept := self._kept.pop(key, None)) is not None:
            self._weight -= kept.weight

    def _forget_first(self) -> None:
        _, kept = self._kept.popitem(last=False)
        self._weight -= kept.weight

    def _forget_old(self) -> None:
        """Remove expired entries, and schedule the next removal for when the oldest of the rest expires."""
        now = time.monotonic()
        while self._kept and (age := now - next(iter(self._kept.values())).since) >= self._seconds:
            self._forget_first()
        self._forgetting = (
            asyncio.get_running_loop().call_later(self._seconds - age, self._forget_old) if self._kept else None
        )

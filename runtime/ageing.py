"""A bounded memory that ages."""

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


class Ageing(Generic[K, V]):
    """What was kept or touched longest ago is forgotten first: for want of room, or `seconds` later.

    The weights of all that is kept are at most `limit`.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._limit = limit
        self._seconds = seconds
        self._weight = 0
        self._forgetting: asyncio.TimerHandle | None = None

    def get(self, key: K) -> V | None:
        """The value that was kept last, if any."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def touch(self, key: K) -> None:
        """Let what is kept be as young as if it were kept now."""
        if (kept := self._kept.get(key)) is not None:
            self._kept[key] = kept._replace(since=time.monotonic())
            self._kept.move_to_end(key)

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Remember `value` in place of an older one."""
        self.forget(key)
        self._kept[key] = _Kept(value, weight, time.monotonic())
        self._weight += weight
        while self._weight > self._limit:
            self._forget_first()
        if self._forgetting is None:
            self._forget_old()

    def forget(self, key: K) -> None:
        """Do not remember any value."""
        if (kept := self._kept.pop(key, None)) is not None:
            self._weight -= kept.weight

    def _forget_first(self) -> None:
        _, kept = self._kept.popitem(last=False)
        self._weight -= kept.weight

    def _forget_old(self) -> None:
        """Forget what is too old, and come back when the oldest of the rest will be."""
        now = time.monotonic()
        while self._kept and (age := now - next(iter(self._kept.values())).since) >= self._seconds:
            self._forget_first()
        self._forgetting = (
            asyncio.get_running_loop().call_later(self._seconds - age, self._forget_old) if self._kept else None
        )

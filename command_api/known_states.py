"""The states of the tasks that were lately decided on, so that most commands need not read before they append."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from domain.task import Task, TaskState
from event_log.read import TaskKey

_LONGEST_DESCRIPTION: Final = 2000


class _Kept(NamedTuple):
    state: TaskState
    since: float


class KnownStates:
    """A bounded memory of states, the one kept longest ago out first.

    A state in it may be old: another process may have appended since. That is found by the version that an append
    expects, never by trust. None is kept for more than `seconds`: so long may the text of a person who was erased
    stay in the memory of this process.
    """

    def __init__(self, limit: int = 10_000, seconds: float = 600) -> None:
        self._kept: OrderedDict[TaskKey, _Kept] = OrderedDict()
        self._limit = limit
        self._seconds = seconds
        self._forgetting: asyncio.TimerHandle | None = None

    def get(self, key: TaskKey) -> TaskState | None:
        """The state that was kept last, if any."""
        kept = self._kept.get(key)
        return None if kept is None else kept.state

    def keep(self, key: TaskKey, state: TaskState) -> None:
        """Remember `state`, unless it is large."""
        if isinstance(state, Task) and len(state.description or "") > _LONGEST_DESCRIPTION:
            self._kept.pop(key, None)
            return
        self._kept[key] = _Kept(state, time.monotonic())
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        if self._forgetting is None:
            self._forget_old()

    def _forget_old(self) -> None:
        """Forget what is too old, and come back when the oldest of the rest will be."""
        now = time.monotonic()
        while self._kept and (age := now - next(iter(self._kept.values())).since) >= self._seconds:
            self._kept.popitem(last=False)
        self._forgetting = (
            asyncio.get_running_loop().call_later(self._seconds - age, self._forget_old) if self._kept else None
        )

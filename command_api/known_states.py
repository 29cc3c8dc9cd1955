"""The states of recently used tasks, so that most commands need no read before they append."""

from __future__ import annotations

from typing import Final

from domain.task import DeletedTask, Task
from event_log.read import Known, TaskKey
from runtime.cache import ExpiringCache

_LONGEST_DESCRIPTION: Final = 2000
"""In characters. Tasks with a longer description are not cached."""


class KnownStates:
    """A cache of task states with a size limit; the least recently kept one is dropped first.

    A cached state may be old, as another process may have appended since. An append detects that by the id of the
    event that led to the state. Each state is dropped after `seconds`, which is also the longest time that erased text
    stays in the memory of this process.
    """

    def __init__(self, limit: int = 10_000, seconds: float = 600) -> None:
        self._kept: ExpiringCache[TaskKey, Known] = ExpiringCache(limit, seconds)

    def get(self, key: TaskKey) -> Known | None:
        """Return the cached state, or None."""
        return self._kept.get(key)

    def keep(self, key: TaskKey, task: Known) -> None:
        """Cache a task, unless its description is long."""
        state = task.state.task if isinstance(task.state, DeletedTask) else task.state
        if isinstance(state, Task) and len(state.description or "") > _LONGEST_DESCRIPTION:
            self._kept.forget(key)
        else:
            self._kept.keep(key, task)

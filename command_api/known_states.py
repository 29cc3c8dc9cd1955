"""The states of the tasks that were lately decided on, so that most commands need not read before they append."""

from __future__ import annotations

from typing import Final

from domain.task import Task
from event_log.read import Known, TaskKey
from runtime.cache import ExpiringCache

_LONGEST_DESCRIPTION: Final = 2000


class KnownStates:
    """A bounded memory of states, the one kept longest ago out first.

    A state in it may be old: another process may have appended since. An append finds that, by the id of the event that
    led to the state. None is kept for more than `seconds`: so long may the text of a person who was erased
    stay in the memory of this process.
    """

    def __init__(self, limit: int = 10_000, seconds: float = 600) -> None:
        self._kept: ExpiringCache[TaskKey, Known] = ExpiringCache(limit, seconds)

    def get(self, key: TaskKey) -> Known | None:
        """The state that was kept last, if any."""
        return self._kept.get(key)

    def keep(self, key: TaskKey, task: Known) -> None:
        """Remember a task, unless it is large."""
        if isinstance(task.state, Task) and len(task.state.description or "") > _LONGEST_DESCRIPTION:
            self._kept.forget(key)
        else:
            self._kept.keep(key, task)

"""The states of the tasks that were lately decided on, so that most commands need not read before they append."""

from __future__ import annotations

from typing import Final

from domain.task import Task, TaskState
from event_log.read import TaskKey
from runtime.ageing import Ageing

_LONGEST_DESCRIPTION: Final = 2000


class KnownStates:
    """A bounded memory of states, the one kept longest ago out first.

    A state in it may be old: another process may have appended since. That is found by the version that an append
    expects, never by trust. None is kept for more than `seconds`: so long may the text of a person who was erased
    stay in the memory of this process.
    """

    def __init__(self, limit: int = 10_000, seconds: float = 600) -> None:
        self._kept: Ageing[TaskKey, TaskState] = Ageing(limit, seconds)

    def get(self, key: TaskKey) -> TaskState | None:
        """The state that was kept last, if any."""
        return self._kept.get(key)

    def keep(self, key: TaskKey, state: TaskState) -> None:
        """Remember `state`, unless it is large."""
        if isinstance(state, Task) and len(state.description or "") > _LONGEST_DESCRIPTION:
            self._kept.forget(key)
        else:
            self._kept.keep(key, state)

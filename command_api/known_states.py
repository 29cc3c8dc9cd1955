"""The states of the tasks that were lately decided on, so that most commands need not read before they append."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from domain.task import Task, TaskState
from event_log.read import TaskKey

_LONGEST_DESCRIPTION: Final = 2000


class KnownStates:
    """A bounded memory of states, least recently used out first.

    A state in it may be old: another process may have appended since. That is found by the version that an append
    expects, never by trust.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._states: OrderedDict[TaskKey, TaskState] = OrderedDict()
        self._limit = limit

    def get(self, key: TaskKey) -> TaskState | None:
        """The state that was kept last, if any."""
        if (state := self._states.get(key)) is not None:
            self._states.move_to_end(key)
        return state

    def keep(self, key: TaskKey, state: TaskState) -> None:
        """Remember `state`, unless it is large."""
        if isinstance(state, Task) and len(state.description or "") > _LONGEST_DESCRIPTION:
            self._states.pop(key, None)
            return
        self._states[key] = state
        self._states.move_to_end(key)
        if len(self._states) > self._limit:
            self._states.popitem(last=False)

"""How a batch changes the number of a user's tasks, and of the completed ones; a page's total is made of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from domain.task import Task, TaskState
from event_log.read import TaskKey


class Totals(NamedTuple):
    """A number of tasks, or by how much it changes."""

    tasks: int = 0
    completed: int = 0

    def plus(self, tasks: int, completed: int) -> Totals:
        """Return the sum with others."""
        return Totals(self.tasks + tasks, self.completed + completed)


def changes(before: Mapping[TaskKey, TaskState], after: Mapping[TaskKey, TaskState]) -> dict[str, Totals]:
    """Return how the users' totals change when the tasks of `after` have become what they are; others stay."""
    found: dict[str, Totals] = {}
    for key, state in after.items():
        was = before.get(key)
        tasks = isinstance(state, Task) - isinstance(was, Task)
        completed = _is_completed(state) - _is_completed(was)
        known = found.get(key[0])
        found[key[0]] = Totals(tasks, completed) if known is None else known.plus(tasks, completed)
    return found


def _is_completed(state: TaskState | None) -> bool:
    return isinstance(state, Task) and state.completed

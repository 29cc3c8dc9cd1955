"""A plain model of undo: it knows for each field who set it, and puts that back. It uses nothing of the tested code.

A change can be taken back while everything that it set is still as it left it, set by nobody since.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

FIELDS: Final = ("title", "description", "priority", "completed")
HERE: Final = "here"
"""Whether the task is there: neither deleted nor not created yet."""

Cell = tuple[Any, int]
"""A value, and the number of the change that set it; an undo puts back both."""

NOTHING: Final[dict[str, Cell]] = dict.fromkeys(FIELDS, (None, 0)) | {HERE: (False, 0)}


@dataclass
class Change:
    """What a change set, and what was there before; `undoes` is the change that it took back."""

    position: int
    task: int
    before: dict[str, Cell]
    after: dict[str, Cell]
    undoes: Change | None = None


class UndoModel:
    """A user's tasks and changes; `position` is that of the last event of a change."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Cell]] = {}
        self.changes: list[Change] = []

    def here(self) -> dict[int, dict[str, Any]]:
        """Return the fields of the tasks that are there."""
        return {task: self.fields(task) for task in self.tasks if self.tasks[task][HERE][0]}

    def deleted(self) -> set[int]:
        return {task for task in self.tasks if not self.tasks[task][HERE][0]}

    def fields(self, task: int) -> dict[str, Any]:
        return {name: self.tasks[task][name][0] for name in FIELDS}

    def set(self, position: int, task: int, **values: Any) -> None:
        """Note a change of a task: the values that it set, which differ from those before."""
        cells = {name: (value, position) for name, value in values.items()}
        self._put(position, task, cells, cells.keys(), None)

    def create(self, position: int, task: int, **values: Any) -> None:
        """Note a new task. To undo this only takes it away: should it come back, it is as it was."""
        cells = {name: (value, position) for name, value in {**values, "completed": False, HERE: True}.items()}
        self._put(position, task, cells, {HERE}, None)

    def may_undo(self, change: Change) -> bool:
        """Return whether it stands, and all that it set is as it left it. A task that is gone can only be restored."""
        now = self.tasks[change.task]
        there = now[HERE][0] or HERE in change.after
        untouched = all(now[name] == cell for name, cell in change.after.items())
        return self.stands(change) and there and untouched and not self._is_reached_over(change)

    def _is_reached_over(self, change: Change) -> bool:
        """Return whether something older was taken back since, of what the change set, and still is."""
        return any(
            other.undoes is not None
            and other.undoes.position < change.position < other.position
            and other.task == change.task
            and not other.after.keys().isdisjoint(change.after)
            and self.stands(other)
            for other in self.changes
        )

    def undo(self, position: int, change: Change) -> None:
        self._put(position, change.task, change.before, change.before.keys(), change)

    def newest(self) -> Change | None:
        """Return the newest change that is no undo and stands."""
        return next(
            (change for change in reversed(self.changes) if change.undoes is None and self.stands(change)), None
        )

    def stands(self, change: Change) -> bool:
        return not any(other.undoes is change and self.stands(other) for other in self.changes)

    def _put(
        self, position: int, task: int, cells: dict[str, Cell], put_back: Collection[str], undoes: Change | None
    ) -> None:
        now = self.tasks.setdefault(task, dict(NOTHING))
        before = {name: now[name] for name in put_back}
        now |= cells
        self.changes.append(Change(position, task, before, cells, undoes))

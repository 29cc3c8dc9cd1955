"""A client's copy of a user's tasks, kept by changes alone."""

from __future__ import annotations

from typing import Any


class Replica:
    """Tasks by id, and the token up to which they were seen."""

    def __init__(self) -> None:
        self.tasks: dict[int, Any] = {}
        self.token: str | None = None

    def apply(self, changes: dict[str, Any]) -> None:
        """Take over an answer or an event; each task stands in it once."""
        told = [task["id"] for task in changes["tasks"]] + changes["deleted"]
        assert len(told) == len(set(told))
        for task in changes["tasks"]:
            self.tasks[task["id"]] = task
        for task_id in changes["deleted"]:
            self.tasks.pop(task_id, None)
        self.token = changes["token"]

    def listed(self) -> list[Any]:
        """Return the tasks in an order that does not depend on when they were seen."""
        return [self.tasks[task_id] for task_id in sorted(self.tasks)]

"""The contract for a user's tasks, in plain Python: it uses nothing of the tested code but the commands' names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from domain.commands import Command, CompleteTask, DeleteTask, EditTask, ReopenTask, RestoreTask, ToggleTask
from tests.found import Asked, Known, listed

Status: TypeAlias = Literal["all", "pending", "completed"]
Sort: TypeAlias = Literal["created", "title"]

LISTS: list[tuple[Status, Sort]] = [(a, b) for a in ("all", "pending", "completed") for b in ("created", "title")]


DEFAULTS: Final[dict[str, Any]] = {"priority": "medium", "due_date": None, "tags": [], "category": None}
"""What a task has for the fields that it was not given."""


class Model:
    """A user's tasks by id, as answers show them but for ids and times, and all ids ever given, oldest first.

    `deleted` holds those that were deleted, as they were, the last one last.
    """

    def __init__(self, user: str) -> None:
        self.user = user
        self.tasks: dict[int, dict[str, Any]] = {}
        self.deleted: dict[int, dict[str, Any]] = {}
        self.ids: list[int] = []

    def created(self, task_id: int, title: str, description: str | None, **others: Any) -> None:
        self.ids.append(task_id)
        given = {"title": title, "description": description} | DEFAULTS | _shown(others)
        self.tasks[task_id] = given | completion(completed=False)

    def apply(self, task_id: int, command: Command) -> None:
        if isinstance(command, RestoreTask) and task_id in self.deleted:
            self.tasks[task_id] = self.deleted.pop(task_id)
        task = self.tasks.get(task_id)
        if task is None:
            return
        match command:
            case EditTask():
                given = {field.name: getattr(command, field.name) for field in fields(command)}
                task |= _shown({name: value for name, value in given.items() if not isinstance(value, Enum)})
                task |= completion(completed=task["completed"])
            case CompleteTask():
                task |= completion(completed=True)
            case ReopenTask():
                task |= completion(completed=False)
            case ToggleTask():
                task |= completion(completed=not task["completed"])
            case DeleteTask():
                self.deleted[task_id] = self.tasks.pop(task_id)

    def listed(self, status: Status, sort: Sort) -> list[int]:
        wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
        ids = [task_id for task_id in self.ids if task_id in self.tasks and self.tasks[task_id]["completed"] in wanted]
        if sort == "created":
            return ids[::-1]
        return sorted(ids, key=lambda i: (unicodedata.normalize("NFKC", self.tasks[i]["title"]).casefold()[:200], i))

    def found(self, asked: Asked, updated: Mapping[int, datetime]) -> list[int]:
        """Return the ids that a list with filters and a sort has; `updated` tells when each task was last changed."""
        known = (
            Known(
                id=task_id,
                first=first,
                title=task["title"],
                description=task["description"],
                priority=task["priority"],
                due_date=task["due_date"],
                tags=tuple(task["tags"]),
                category=task["category"],
                completed=task["completed"],
                updated=updated[task_id],
            )
            for first, task_id in enumerate(self.ids)
            if (task := self.tasks.get(task_id)) is not None
        )
        return listed(list(known), asked)


def completion(*, completed: bool) -> dict[str, Any]:
    """Return the three members that say whether a task is completed."""
    return {"completed": completed, "is_completed": completed, "status": "completed" if completed else "pending"}


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Return values of fields as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

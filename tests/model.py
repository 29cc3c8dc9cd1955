"""The contract for a user's tasks, in plain Python: it uses nothing of the tested code but the commands' names."""

from __future__ import annotations

import unicodedata
from typing import Any, Literal, TypeAlias

from domain.commands import Command, CompleteTask, DeleteTask, EditTask, ReopenTask, ToggleTask

Status: TypeAlias = Literal["all", "pending", "completed"]
Sort: TypeAlias = Literal["created", "title"]

LISTS: list[tuple[Status, Sort]] = [(a, b) for a in ("all", "pending", "completed") for b in ("created", "title")]


class Model:
    """A user's tasks by id (title, description and completed), and all ids ever given, oldest first."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.tasks: dict[int, dict[str, Any]] = {}
        self.ids: list[int] = []

    def created(self, task_id: int, title: str, description: str | None) -> None:
        self.ids.append(task_id)
        self.tasks[task_id] = {"title": title, "description": description, "completed": False}

    def apply(self, task_id: int, command: Command) -> None:
        task = self.tasks.get(task_id)
        if task is None:
            return
        match command:
            case EditTask(title=title, description=description, completed=completed):
                given = {"title": title, "description": description, "completed": completed}
                task |= {name: value for name, value in given.items() if value is None or isinstance(value, str | bool)}
            case CompleteTask():
                task["completed"] = True
            case ReopenTask():
                task["completed"] = False
            case ToggleTask():
                task["completed"] = not task["completed"]
            case DeleteTask():
                del self.tasks[task_id]

    def listed(self, status: Status, sort: Sort) -> list[int]:
        wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
        ids = [task_id for task_id in self.ids if task_id in self.tasks and self.tasks[task_id]["completed"] in wanted]
        if sort == "created":
            return ids[::-1]
        return sorted(ids, key=lambda i: (unicodedata.normalize("NFKC", self.tasks[i]["title"]).casefold()[:200], i))

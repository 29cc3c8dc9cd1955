"""The bodies of the write endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from command_api.field_types import Category, DueDate, Priority, Tags
from domain.commands import CompleteTask, CreateTask, EditTask, ReopenTask, TaskCommand, ToggleTask
from domain.fields import FIELDS
from domain.labels import MEDIUM
from edge.bodies import JsonBody, Text, Title
from edge.openapi import Task

_WORDS: Final = dict.fromkeys(("completed", "done"), True) | dict.fromkeys(
    ("pending", "todo", "active", "incomplete", "in_progress"), False
)
"""What `status` says of a task: whether it is completed."""


class CreateTaskBody(JsonBody):
    """A new task."""

    model_config = ConfigDict(json_schema_extra={"example": {"title": "Buy groceries", "description": "Milk, eggs"}})

    title: Title = Field(description="1 to 200 characters, not only white space, kept as sent")
    description: Text | None = Field(default=None, description="As long as the limit of 1 MiB for the body allows")
    priority: Priority = MEDIUM
    due_date: DueDate = None
    tags: Tags = ()
    category: Category = None

    def command(self) -> TaskCommand:
        """Return the command that the body asks for."""
        return CreateTask(
            title=self.title,
            description=self.description,
            due_date=self.due_date,
            priority=self.priority or MEDIUM,
            tags=self.tags,
            category=self.category,
        )


class EditTaskBody(JsonBody):
    """The fields to change; absent fields are kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"title": "Buy groceries today", "completed": True}})

    title: Title = Field(default="", description="1 to 200 characters, not only white space, kept as sent")
    description: Text | None = Field(default=None, description="null clears it")
    priority: Priority = MEDIUM
    due_date: DueDate = None
    tags: Tags = ()
    category: Category = None
    completed: bool | None = Field(default=None, description="null is the same as absent")
    is_completed: bool | None = Field(default=None, description="Read where completed is absent")
    status: str | None = Field(
        default=None,
        description="Read where both are absent: completed or done, and pending, todo, active, incomplete or "
        "in_progress; any other word is ignored",
    )

    def command(self) -> TaskCommand:
        """Return the command that the body asks for, with what it does not mention unset."""
        given: dict[str, Any] = {name: getattr(self, name) for name in FIELDS if name in self.model_fields_set}
        wanted = self._wanted()
        return EditTask(**given) if wanted is None else EditTask(**given, completed=wanted)

    def _wanted(self) -> bool | None:
        """Return whether the task is to be completed, None where the body does not say."""
        if self.completed is not None:
            return self.completed
        if self.is_completed is not None:
            return self.is_completed
        return None if self.status is None else _WORDS.get(self.status.casefold())


UNCHANGED = EditTaskBody()
"""What an empty body of PATCH asks for."""


class CompletionBody(JsonBody):
    """Toggle the task, or set it."""

    model_config = ConfigDict(json_schema_extra={"example": {"completed": True}})

    completed: bool | None = Field(default=None, description="The new value; toggled when absent or null")

    def command(self) -> TaskCommand:
        """Return the command that the body asks for."""
        if self.completed is None:
            return ToggleTask()
        return CompleteTask() if self.completed else ReopenTask()


TOGGLE = CompletionBody()


class UndoBody(JsonBody):
    """What to undo: the change at a position, or the newest one that is not undone yet."""

    model_config = ConfigDict(json_schema_extra={"example": {"position": 7}})

    position: Annotated[int, Field(ge=1, lt=2**63)] | None = Field(
        default=None, description="Of any event of the command to undo; the newest not undone yet where absent or null"
    )


NEWEST = UndoBody()
"""What an empty body of an undo asks for."""


class Undone(BaseModel):
    """The answer to an undo: what it changed, as it is after it."""

    undone: int = Field(description="The position of the last event of the command that was undone", ge=1)
    position: int = Field(description="The user's position after it", ge=1)
    tasks: list[Task] = Field(description="The tasks that it changed or brought back")
    deleted: list[int] = Field(description="The ids of tasks that it deleted")


class TaskDeleted(BaseModel):
    """The answer to a deletion."""

    message: str = Field(examples=["Task deleted successfully"])

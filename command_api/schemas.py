"""The bodies of the write endpoints."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from command_api.field_types import DueDate
from domain.commands import Command, CompleteTask, CreateTask, EditTask, ReopenTask, ToggleTask
from edge.bodies import JsonBody, Text, Title


class CreateTaskBody(JsonBody):
    """A new task."""

    model_config = ConfigDict(json_schema_extra={"example": {"title": "Buy groceries", "description": "Milk, eggs"}})

    title: Title = Field(description="1 to 200 characters, not only white space, kept as sent")
    description: Text | None = Field(default=None, description="Of any length that the body's 1 MiB allows")
    due_date: DueDate = None

    def command(self) -> Command:
        """Return the command that the body asks for."""
        return CreateTask(title=self.title, description=self.description, due_date=self.due_date)


class EditTaskBody(JsonBody):
    """The fields to change; one that is absent is kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"title": "Buy groceries today", "completed": True}})

    title: Title = Field(default="", description="1 to 200 characters, not only white space, kept as sent")
    description: Text | None = Field(default=None, description="null clears it")
    due_date: DueDate = None
    completed: bool | None = Field(default=None, description="null is as good as absent")

    def command(self) -> Command:
        """Return the command that the body asks for, with what it does not mention unset."""
        given = self.model_dump(exclude_unset=True)
        if self.completed is None:
            given.pop("completed", None)
        return EditTask(**given)


class CompletionBody(JsonBody):
    """Toggle the task, or set it."""

    model_config = ConfigDict(json_schema_extra={"example": {"completed": True}})

    completed: bool | None = Field(default=None, description="The new value; toggled when absent or null")

    def command(self) -> Command:
        """Return the command that the body asks for."""
        if self.completed is None:
            return ToggleTask()
        return CompleteTask() if self.completed else ReopenTask()


TOGGLE = CompletionBody()


class TaskDeleted(BaseModel):
    """The answer to a deletion."""

    message: str = Field(examples=["Task deleted successfully"])

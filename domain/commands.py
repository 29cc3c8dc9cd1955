"""The commands that a client can give, in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from domain.fields import UNSET, Changes, Fields, Unset


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateTask(Fields):
    """Begin a new task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTask(Changes):
    """Change the fields that are given, keep the others."""

    completed: bool | Unset = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteTask:
    """Make the task completed, whatever it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReopenTask:
    """Make the task pending, whatever it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToggleTask:
    """Make a pending task completed and a completed one pending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteTask:
    """Delete the task."""


Command: TypeAlias = CreateTask | EditTask | CompleteTask | ReopenTask | ToggleTask | DeleteTask

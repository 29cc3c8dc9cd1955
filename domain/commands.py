"""What a client can ask of a task, in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias


class Unset(Enum):
    """A field that a command or an event does not mention; `None` is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateTask:
    """Begin a new task."""

    title: str
    description: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTask:
    """Change the fields that are given, keep the others."""

    title: str | Unset = UNSET
    description: str | Unset | None = UNSET
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

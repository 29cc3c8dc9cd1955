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


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreTask:
    """Make a deleted task what it was before it was deleted."""


Inverse: TypeAlias = EditTask | DeleteTask | RestoreTask
"""The commands that can take back what another one did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoCommand:
    """Take back what the command that ended at position `undoes` did, by its inverse.

    The inverse was found when the task was at `version`; see domain/undo.py.
    """

    undoes: int
    version: int
    inverse: Inverse


TaskCommand: TypeAlias = CreateTask | EditTask | CompleteTask | ReopenTask | ToggleTask | DeleteTask | RestoreTask
"""What a client asks of one task."""

Command: TypeAlias = TaskCommand | UndoCommand

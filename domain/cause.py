"""Cause: find the command that led to events. It is `decide`, backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from domain.commands import (
    Command,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
    UndoCommand,
)
from domain.events import (
    TaskAdopted,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskReopened,
    TaskRestored,
)
from domain.fields import UNSET, given


def is_one_command(first: TaskEvent, second: TaskEvent) -> bool:
    """Return whether one command can have led to both events: an edit that also completes or reopens the task."""
    return isinstance(first, TaskEdited) and isinstance(second, TaskCompleted | TaskReopened)


def cause(events: Sequence[TaskEvent], *, version: int, undoes: int | None = None) -> Command:
    """Return the plainest command that `decide` turns into the events of one command.

    The ledger does not keep the words of a request: a toggle is a completion here, and an edit has only the fields that
    it changed. `version` is the task's version before the events, `undoes` the position of what they took back.

    Raises:
        ValueError: the event is an adoption, which no command leads to.
    """
    command = _cause(events)
    if undoes is None or isinstance(command, CreateTask):
        return command
    match command:
        case DeleteTask() | RestoreTask() | EditTask():
            return UndoCommand(undoes=undoes, version=version, inverse=command)
        case _:
            inverse = EditTask(completed=isinstance(command, CompleteTask))
            return UndoCommand(undoes=undoes, version=version, inverse=inverse)


def _cause(events: Sequence[TaskEvent]) -> TaskCommand:
    first, *rest = events
    match first:
        case TaskCreated():
            return CreateTask(**given(first))  # type: ignore[arg-type] # one list gives the names and types
        case TaskAdopted():
            raise ValueError("no command leads to an adoption")
        case TaskEdited():
            completed = isinstance(rest[0], TaskCompleted) if rest else UNSET
            return EditTask(**given(first), completed=completed)  # type: ignore[arg-type] # likewise
        case TaskCompleted():
            return CompleteTask()
        case TaskReopened():
            return ReopenTask()
        case TaskDeleted():
            return DeleteTask()
        case TaskRestored():
            return RestoreTask()
        case _:  # pragma: no cover
            assert_never(first)

"""Decide: a command and a task's state give events, or an error."""

from __future__ import annotations

from typing import assert_never

from domain.commands import (
    Command,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    ToggleTask,
    UndoCommand,
)
from domain.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskReopened, TaskRestored
from domain.fields import FIELDS, UNSET, Unset, field_values, given
from domain.task import DeletedTask, NoTask, Task, TaskState


class CommandError(Exception):
    """The command cannot be carried out on this state."""


class TaskNotFoundError(CommandError):
    """The task does not exist, or was deleted."""


class TaskExistsError(CommandError):
    """The id was used before: a task is created only once."""


class OutdatedError(CommandError):
    """The task has changed since the inverse of a command was found, or was erased."""


def decide(command: Command, state: TaskState) -> tuple[TaskEvent, ...]:
    """Return the events that `command` leads to in `state`; none if it would change nothing.

    Raises:
        TaskNotFoundError: the command needs a task that exists.
        TaskExistsError: the id was used before.
        OutdatedError: the command undoes another one, and the task has changed since, or was erased.
    """
    match command:
        case CreateTask():
            return _created(command, state)
        case RestoreTask():
            return _restored(state)
        case UndoCommand():
            if state.version != command.version or (isinstance(state, DeletedTask) and state.is_erased):
                raise OutdatedError
            return decide(command.inverse, state)
        case _ if isinstance(state, Task):
            return _changed(command, state)
    raise TaskNotFoundError


def _changed(
    command: EditTask | CompleteTask | ReopenTask | ToggleTask | DeleteTask, state: Task
) -> tuple[TaskEvent, ...]:
    match command:
        case EditTask():
            return _edited(command, state) + _completion(state, wanted=command.completed)
        case CompleteTask():
            return _completion(state, wanted=True)
        case ReopenTask():
            return _completion(state, wanted=False)
        case ToggleTask():
            return _completion(state, wanted=not state.completed)
        case DeleteTask():
            return (TaskDeleted(),)
        case _:  # pragma: no cover
            assert_never(command)


def _created(command: CreateTask, state: TaskState) -> tuple[TaskEvent, ...]:
    if not isinstance(state, NoTask):
        raise TaskExistsError
    values = zip(FIELDS, field_values(command), strict=True)  # a creation leaves none unset
    return (TaskCreated(**dict(values)),)  # type: ignore[arg-type] # names and types of one list


def _restored(state: TaskState) -> tuple[TaskEvent, ...]:
    match state:
        case Task():
            return ()
        case DeletedTask(is_erased=False):
            return (TaskRestored(),)
        case _:
            raise TaskNotFoundError


def _edited(command: EditTask, task: Task) -> tuple[TaskEvent, ...]:
    changed = {name: value for name, value in given(command).items() if value != getattr(task, name)}
    return (TaskEdited(**changed),) if changed else ()  # type: ignore[arg-type] # likewise


def _completion(task: Task, *, wanted: bool | Unset) -> tuple[TaskEvent, ...]:
    if wanted is UNSET or wanted is task.completed:
        return ()
    return (TaskCompleted(),) if wanted else (TaskReopened(),)

"""Evolve: a task's state and the next event give the next state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import assert_never

from domain.events import (
    Recorded,
    TaskAdopted,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskReopened,
    TaskRestored,
)
from domain.fields import after, field_values
from domain.task import DeletedTask, NoTask, Task, TaskState


class HistoryError(Exception):
    """An event that cannot follow the state before it: the history is damaged."""


def evolve(state: TaskState, recorded: Recorded) -> TaskState:
    """Return the state after `recorded`.

    Raises:
        HistoryError: the event is not the task's next one, or is of a task that does not exist.
    """
    if recorded.version != state.version + 1:
        message = f"task {recorded.task_id} is at version {state.version}, the event has {recorded.version}"
        raise HistoryError(message)
    match state:
        case NoTask():
            return _begin(recorded)
        case Task():
            return _change(state, recorded)
        case DeletedTask():
            return _restore(state, recorded)
        case _:  # pragma: no cover
            assert_never(state)


def fold(state: TaskState, history: Iterable[Recorded]) -> TaskState:
    """Return the state after all of `history`, in its order."""
    for recorded in history:
        state = evolve(state, recorded)
    return state


def fold_last(history: Sequence[Recorded]) -> TaskState:
    """Return the state after the last event of `history`, which may leave out other events.

    It must hold the task's first event, the last event that set each field, and the last event, in order. Later events
    overwrote everything that the left-out ones set.

    Raises:
        HistoryError: the events do not fit each other.
    """
    state: TaskState = NoTask()
    for recorded in history:
        state = evolve_last(state, recorded)
    return state


def evolve_last(state: TaskState, recorded: Recorded) -> TaskState:
    """Return the state after `recorded`, where events between may be left out as `fold_last` says.

    Raises:
        HistoryError: the events do not fit each other.
    """
    before = recorded.version - 1
    match state:
        case Task() if isinstance(recorded.event, TaskRestored):  # its deletion is among those that are left out
            state = DeletedTask(task=state, deleted_at=recorded.recorded_at, version=before)
        case Task():
            state = state._replace(version=before)
        case DeletedTask():
            state = DeletedTask(task=state.task, deleted_at=state.deleted_at, version=before)
    return evolve(state, recorded)


def _begin(recorded: Recorded) -> Task:
    event, at = recorded.event, recorded.recorded_at
    times: tuple[datetime | None, datetime, datetime]
    if isinstance(event, TaskCreated):
        times = None, at, at
    elif isinstance(event, TaskAdopted):
        times = event.completed_at, event.created_at or at, event.updated_at or at
    else:
        message = f"task {recorded.task_id} begins with {type(event).__name__}"
        raise HistoryError(message)
    is_completed = times[0] is not None
    return Task._make(
        (recorded.task_id, *field_values(event), is_completed, *times, recorded.position, recorded.version)
    )


def _restore(state: DeletedTask, recorded: Recorded) -> Task:
    if not isinstance(recorded.event, TaskRestored):
        message = f"task {recorded.task_id} was deleted before {type(recorded.event).__name__}"
        raise HistoryError(message)
    return state.task._replace(updated_at=recorded.recorded_at, version=recorded.version)


def _change(task: Task, recorded: Recorded) -> Task | DeletedTask:
    at, version = recorded.recorded_at, recorded.version
    match recorded.event:
        case TaskEdited():
            fields = after(field_values(task), field_values(recorded.event))
            return Task._make(
                (
                    task.id,
                    *fields,
                    task.completed,
                    task.completed_at,
                    task.created_at,
                    at,
                    task.created_position,
                    version,
                )
            )
        case TaskCompleted():
            return task._replace(completed=True, completed_at=at, updated_at=at, version=version)
        case TaskReopened():
            return task._replace(completed=False, completed_at=None, updated_at=at, version=version)
        case TaskDeleted():
            return DeletedTask(task=task, deleted_at=at, version=version)
        case TaskCreated() | TaskAdopted() | TaskRestored():
            message = f"task {recorded.task_id} exists before {type(recorded.event).__name__}"
            raise HistoryError(message)
        case _:  # pragma: no cover
            assert_never(recorded.event)

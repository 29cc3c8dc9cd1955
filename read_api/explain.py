"""Explain: one position of a user's history, step by step, read from a few events.

It shows the event, the command that led to it, and its task's state and row before it and after it. Other code computes
them: the reader of time travel the state before, `evolve` the state after, and the read model the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from domain.cause import cause, is_one_command
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
from domain.events import Recorded, TaskAdopted
from domain.evolve import evolve
from domain.fields import UNSET, FieldValue, given
from domain.task import DeletedTask, NoTask, Task, TaskState
from event_log.append import Fetching
from event_log.long_texts import whole
from event_log.read import recorded
from read_api.history import HistoryQuery, history, json_object
from read_api.long_lists import TEXTS, tasks_at
from read_model.rows import COLUMNS, row_of

COMMAND_TYPES: Final[Mapping[type[Command], str]] = {
    CreateTask: "task.create",
    EditTask: "task.edit",
    CompleteTask: "task.complete",
    ReopenTask: "task.reopen",
    ToggleTask: "task.toggle",
    DeleteTask: "task.delete",
    RestoreTask: "task.restore",
}
"""The types of commands, with their names in `/commands`."""

_Entry = Mapping[str, Any]
"""An event as a history shows it."""


class _Decision(NamedTuple):
    """The events that one command led to, one or two."""

    events: Sequence[Recorded]
    undoes: int | None
    is_erased: bool


async def explain(database: Fetching, user_id: str, position: int) -> bytes | None:
    """Return what happened at a position as JSON, or None if the history has no such position.

    However long the history is, this reads the event, the one beside it, and the few that give its task's state.

    Raises:
        HistoryError, UnreadableEventError: the event, or one of its task before it, is impossible or unreadable.
        UnavailableError: the database cannot answer.
    """
    entries = await _entries(database, user_id, after=position - 1, limit=2)
    if not entries or entries[0]["position"] != position:
        return None
    entry = entries[0]
    event = recorded(entry)
    if event is None:  # the erasure of the whole stream, which belongs to no task
        return await asyncio.to_thread(_rendered, user_id, entry, None, None, None)
    decision = None
    if not isinstance(event.event, TaskAdopted):  # no command leads to an adoption
        decision = _Decision(await _events_of_command(database, user_id, entries), entry["undoes"], entry["erased"])
    before = await _state(database, user_id, event.task_id, position - 1)
    return await asyncio.to_thread(_rendered, user_id, entry, decision, before, evolve(before, event))


async def _entries(database: Fetching, user_id: str, *, after: int, limit: int) -> Sequence[_Entry]:
    page = await history(database, user_id, HistoryQuery(after=after, limit=limit))
    return [] if page is None else orjson.loads(page.body)["events"]


async def _events_of_command(database: Fetching, user_id: str, entries: Sequence[_Entry]) -> Sequence[Recorded]:
    """Return the events of the command that led to the first entry; the second one is the entry after it, if any."""
    position = entries[0]["position"]
    if _continues(entries[0]) and position > 1:
        pair = [*await _entries(database, user_id, after=position - 2, limit=1), entries[0]]
    else:
        pair = [entry for entry in entries if entry is entries[0] or _continues(entry)]
    events = list(filter(None, map(recorded, pair)))
    same_task = len({event.task_id for event in events}) == 1
    if len(events) == len(("edit", "completion")) and same_task and is_one_command(events[0].event, events[1].event):
        return events
    return [event for event in events if event.position == position]


def _continues(entry: _Entry) -> bool:
    """Return whether an event belongs to the same command as the one before it."""
    return json_object(entry["metadata"]).get("continues") is True


async def _state(database: Fetching, user_id: str, task_id: int, position: int) -> TaskState:
    """Return a task's state at a position, with all its texts."""
    state = (await tasks_at(database, user_id, [task_id], position)).get(task_id, NoTask())
    if isinstance(state, NoTask):
        return state
    (task,) = await whole(database, [(user_id, state if isinstance(state, Task) else state.task)], TEXTS)
    if isinstance(state, Task):
        return task
    return DeletedTask(task=task, deleted_at=state.deleted_at, version=state.version)


def _rendered(
    user_id: str, entry: _Entry, decision: _Decision | None, before: TaskState | None, after: TaskState | None
) -> bytes:
    """Return the JSON; called in a thread, as a task's texts may be long."""
    explained = {
        "user_id": user_id,
        "event": entry,
        "command": None if decision is None else _shown_command(decision),
        "state_before": _shown_state(before),
        "state_after": _shown_state(after),
        "row_before": _shown_row(user_id, before),
        "row_after": _shown_row(user_id, after),
    }
    return orjson.dumps(explained, option=orjson.OPT_UTC_Z)


def _shown_command(decision: _Decision) -> dict[str, Any]:
    first = decision.events[0]
    command = cause([each.event for each in decision.events], version=first.version - 1, undoes=decision.undoes)
    asked = command.inverse if isinstance(command, UndoCommand) else command
    return {
        "type": COMMAND_TYPES[type(asked)],
        "task_id": first.task_id,
        "version": first.version - 1,
        "data": None if decision.is_erased else _data(asked),
        "undoes": command.undoes if isinstance(command, UndoCommand) else None,
        "positions": [each.position for each in decision.events],
    }


def _data(command: Command) -> dict[str, FieldValue | bool] | None:
    """Return the fields that a command sets; None for a command without fields."""
    match command:
        case CreateTask():
            return {**given(command)}
        case EditTask():
            completed = {} if command.completed is UNSET else {"completed": command.completed}
            return {**given(command), **completed}
        case _:
            return None


def _shown_state(state: TaskState | None) -> dict[str, Any] | None:
    match state:
        case None:
            return None
        case NoTask():
            return {"kind": "none", "version": 0, "deleted_at": None, "task": None}
        case Task():
            return {"kind": "task", "version": state.version, "deleted_at": None, "task": state._asdict()}
        case DeletedTask():
            task = state.task._asdict()
            return {"kind": "deleted", "version": state.version, "deleted_at": state.deleted_at, "task": task}


def _shown_row(user_id: str, state: TaskState | None) -> dict[str, Any] | None:
    """Return the row of the table `tasks`, by column; only a task that exists has one."""
    return dict(zip(COLUMNS, row_of(user_id, state), strict=True)) if isinstance(state, Task) else None

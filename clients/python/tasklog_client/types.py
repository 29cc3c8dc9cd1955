"""The JSON of requests and answers. `tests/clients/test_python_client.py` holds them to the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Task(TypedDict):
    """A task. Times are RFC 3339 in UTC with a Z."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: str
    updated_at: str
    priority: str
    due_date: str | None
    tags: list[str]
    category: str | None
    completed_at: str | None
    is_completed: bool
    status: Literal["completed", "pending"]


class DeletedTask(Task):
    """A task in the trash."""

    deleted_at: str


class Fields(TypedDict, total=False):
    """What an edit changes; None clears a field, an absent one is kept."""

    title: str
    description: str | None
    completed: bool
    priority: str | None
    due_date: str | None
    tags: list[str] | None
    category: str | None


class TaskDeleted(TypedDict):
    """The answer to a deletion."""

    message: str


FieldChange = TypedDict("FieldChange", {"field": str, "from": Any, "to": Any})
"""A field that an event set, and what it was before."""


class HistoryEvent(TypedDict):
    """An event as it is stored, and what it changed. What an erasure removed is None."""

    position: int
    task_id: int | None
    version: int
    event_id: str
    type: str
    schema_version: int
    recorded_at: str
    actor: str | None
    request_id: str | None
    changes: list[FieldChange]
    erased: bool
    data: str | None
    metadata: str | None
    undoes: int | None
    content_digest: str
    hash: str


class Head(TypedDict):
    """The last position of a history, and its hash."""

    position: int
    hash: str


class History(TypedDict):
    """A part of a history; `next` is the `after` of the next part."""

    user_id: str
    head: Head
    events: list[HistoryEvent]
    next: int | None


class StoredEvent(TypedDict):
    """An event as it is stored. What an erasure removed is None; `erased_digest` is then the digest of it."""

    position: int
    task_id: int | None
    version: int
    event_id: str
    type: str
    schema_version: int
    recorded_at: str
    data: str | None
    metadata: str | None
    erased_digest: str | None
    hash: str


class StoredEvents(TypedDict):
    """A part of the stored events; `next` is the `after` of the next part."""

    user_id: str
    head: Head
    events: list[StoredEvent]
    next: int | None


class ExplainedCommand(TypedDict):
    """The plainest command that leads to the events at `positions`."""

    type: str
    task_id: int
    version: int
    data: dict[str, Any] | None
    undoes: int | None
    positions: list[int]


class ExplainedState(TypedDict):
    """A task's state: `none`, `task` or `deleted`, with the task."""

    kind: Literal["none", "task", "deleted"]
    version: int
    deleted_at: str | None
    task: dict[str, Any] | None


class Explained(TypedDict):
    """A position, step by step. All but `user_id` and `event` are None for an erasure of all text."""

    user_id: str
    event: HistoryEvent
    command: ExplainedCommand | None
    state_before: ExplainedState | None
    state_after: ExplainedState | None
    row_before: dict[str, Any] | None
    row_after: dict[str, Any] | None


class Stats(TypedDict):
    """How many tasks there are."""

    total: int
    pending: int
    completed: int
    overdue: int


class Changes(TypedDict):
    """What is different from what it was at an earlier token. `more`: the token is for the rest."""

    token: str
    position: int
    more: bool
    tasks: list[Task]
    deleted: list[int]


class Command(TypedDict):
    """A command of `commands`. `task` is an id, or the `ref` of an earlier command that creates the task."""

    id: str
    type: str
    task: NotRequired[int | str]
    ref: NotRequired[str]
    if_match: NotRequired[int]
    data: NotRequired[Fields]


class CommandResult(TypedDict):
    """What became of a command. `task` is the task after it."""

    id: str
    status: int
    task: NotRequired[Task | None]
    deleted: NotRequired[int]
    problem: NotRequired[dict[str, Any]]


class CommandAnswer(TypedDict):
    """What became of all commands of a call."""

    token: str | None
    results: list[CommandResult]


class Undone(TypedDict):
    """What an undo did: the tasks after it, and the ids of those that it deleted."""

    undone: int
    position: int
    tasks: list[Task]
    deleted: list[int]

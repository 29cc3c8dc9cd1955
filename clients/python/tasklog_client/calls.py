"""The calls of the API as values: what to send, and the type of what comes back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from tasklog_client.types import (
    Changes,
    Command,
    CommandAnswer,
    DeletedTask,
    Explained,
    Fields,
    History,
    Stats,
    StoredEvents,
    Task,
    TaskDeleted,
    Undone,
)

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | bool | Sequence[str] | None]


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A call below the user's resources, whose answer is JSON of the type `Answer`."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, client: httpx.Client | httpx.AsyncClient, root: str, token: str) -> httpx.Request:
        """Return the request for this call."""
        return client.build_request(
            self.method,
            root + self.path,
            params={name: value for name, value in self.query.items() if value is not None},
            headers={"Authorization": f"Bearer {token}", **self.headers},
            json=self.body,
        )


def read_tasks(query: Query) -> Call[list[Task]]:
    """List tasks."""
    return Call("GET", "/tasks", query)


def read_task(task_id: int) -> Call[Task]:
    """Read a task."""
    return Call("GET", f"/tasks/{task_id}")


def create_task(fields: Fields, key: str | None) -> Call[Task]:
    """Create a task, once for a key."""
    return Call("POST", "/tasks", body=fields, headers={"Idempotency-Key": key or uuid.uuid4().hex})


def edit_task(task_id: int, fields: Fields) -> Call[Task]:
    """Change fields of a task."""
    return Call("PATCH", f"/tasks/{task_id}", body=fields)


def complete_task(task_id: int, *, completed: bool) -> Call[Task]:
    """Complete or reopen a task."""
    return Call("PATCH", f"/tasks/{task_id}/complete", body={"completed": completed})


def delete_task(task_id: int) -> Call[TaskDeleted]:
    """Delete a task."""
    return Call("DELETE", f"/tasks/{task_id}")


def restore_task(task_id: int) -> Call[Task]:
    """Bring a deleted task back."""
    return Call("POST", f"/tasks/{task_id}/restore")


def read_trash(query: Query) -> Call[list[DeletedTask]]:
    """List deleted tasks."""
    return Call("GET", "/trash", query)


def undo(position: int | None) -> Call[Undone]:
    """Undo the command at a position, or the newest one."""
    return Call("POST", "/undo", body=None if position is None else {"position": position})


def read_stats() -> Call[Stats]:
    """Count tasks."""
    return Call("GET", "/stats")


def read_history(task_id: int | None, query: Query) -> Call[History]:
    """Read the history of a task, or of all."""
    return Call("GET", "/history" if task_id is None else f"/tasks/{task_id}/history", query)


def read_events(query: Query) -> Call[StoredEvents]:
    """Read the events as they are stored."""
    return Call("GET", "/events", query)


def explain(position: int) -> Call[Explained]:
    """Explain what happened at a position."""
    return Call("GET", f"/events/{position}/explain")


def read_changes(query: Query) -> Call[Changes]:
    """Read what changed."""
    return Call("GET", "/changes", query)


def commands(commands: Sequence[Command]) -> Call[CommandAnswer]:
    """Carry out commands in order."""
    return Call("POST", "/commands", body={"commands": list(commands)})


def stream(since: str | None) -> Call[Any]:
    """Follow the changes."""
    return Call("GET", "/changes/stream", {"since": since})

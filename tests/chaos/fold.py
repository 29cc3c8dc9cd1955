"""An independent fold of the ledger: tasks after each event, written from the contract, not from the code."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from tests import found

TaskObject = dict[str, Any]
"""A task as in the contract's JSON, with `version` and `created_position`."""


class Tasks(dict[int, TaskObject]):
    """A user's tasks by id; `deleted` holds those that were deleted, as they were."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: dict[int, TaskObject] = {}


class Event(NamedTuple):
    """A row of the ledger; `data_text` and `metadata_text` are the stored texts."""

    user: str
    position: int
    task_id: int
    version: int
    event_id: str
    type: str
    schema_version: int
    data: dict[str, Any]
    data_text: str
    metadata_text: str
    marker: str
    recorded_at: datetime
    hash: str


class IllegalEventError(Exception):
    """An event that no command could have led to in the state before it."""


def shown(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def apply(tasks: Tasks, event: Event) -> None:
    """Apply an event to a user's tasks; a task's object is replaced, never changed.

    Raises:
        IllegalEventError: it is impossible. For example a completed task is completed again, so a toggle was lost.
    """
    task = tasks.get(event.task_id)
    at = shown(event.recorded_at)
    if event.type == "task.created":
        if task is not None or event.version != 1:
            raise IllegalEventError(f"{event.type} of a task that was there")
        tasks[event.task_id] = _created(event)
        return
    if event.type == "task.restored":
        task = tasks.deleted.pop(event.task_id, None)
    if task is None or event.version != task["version"] + 1:
        raise IllegalEventError(f"{event.type} does not follow with version {event.version}")
    change: TaskObject = {"version": event.version, "updated_at": at}
    if event.type in {"task.completed", "task.reopened"}:
        completed = event.type == "task.completed"
        change |= {"completed": completed, "is_completed": completed, "completed_at": at if completed else None}
        change["status"] = "completed" if completed else "pending"
        if change["completed"] is task["completed"]:
            raise IllegalEventError(f"{event.type} of a task that was so already: a toggle was lost")
    elif event.type == "task.edited":
        change |= event.data
    elif event.type not in {"task.deleted", "task.restored"}:
        raise IllegalEventError(f"{event.type} is unknown")
    if event.type == "task.deleted":
        tasks.deleted[event.task_id] = tasks.pop(event.task_id) | {"version": event.version}
    else:
        tasks[event.task_id] = task | change


def _created(event: Event) -> TaskObject:
    at = shown(event.recorded_at)
    return {
        "id": event.task_id,
        "user_id": event.user,
        "title": event.data["title"],
        "description": event.data.get("description"),
        "completed": False,
        "created_at": at,
        "updated_at": at,
        "priority": event.data.get("priority", "medium"),
        "due_date": event.data.get("due_date"),
        "tags": event.data.get("tags", []),
        "category": event.data.get("category"),
        "completed_at": None,
        "is_completed": False,
        "status": "pending",
        "version": 1,
        "created_position": event.position,
    }


def contract_fields(task: TaskObject) -> TaskObject:
    return {name: value for name, value in task.items() if name not in {"version", "created_position"}}


def title_key(title: str) -> str:
    return unicodedata.normalize("NFKC", title).casefold()[:200]


def listed(tasks: Mapping[int, TaskObject], query: str) -> tuple[list[TaskObject], int]:
    """Return what a list must be for its query, in canonical names, and the number of tasks on all pages."""
    asked = {name: ",".join(values) for name, values in parse_qs(query.removeprefix("?")).items()}
    ids = found.listed([_known(task) for task in tasks.values()], asked)
    page = ids[: int(asked["limit"])] if "limit" in asked else ids
    return [contract_fields(tasks[task_id]) for task_id in page], len(ids)


def _known(task: TaskObject) -> found.Known:
    return found.Known(
        id=task["id"],
        first=task["created_position"],
        title=task["title"],
        description=task["description"],
        priority=task["priority"],
        due_date=task["due_date"],
        tags=tuple(task["tags"]),
        category=task["category"],
        completed=task["completed"],
        updated=datetime.fromisoformat(task["updated_at"]),
    )

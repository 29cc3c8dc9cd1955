"""Events as they are stored: stable wire names, schema versions, canonical JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import orjson

from domain.commands import UNSET
from domain.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskReopened

SCHEMA_VERSION: Final = 1

_CLASSES: Final[dict[str, type[TaskEvent]]] = {
    "task.created": TaskCreated,
    "task.edited": TaskEdited,
    "task.completed": TaskCompleted,
    "task.reopened": TaskReopened,
    "task.deleted": TaskDeleted,
}
_NAMES: Final = {event_class: name for name, event_class in _CLASSES.items()}
_FIELDS: Final = {event_class: tuple(field.name for field in fields(event_class)) for event_class in _NAMES}


class UnreadableEventError(Exception):
    """A stored event that this code cannot read."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no white space: the text that is stored and hashed."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def encode(event: TaskEvent) -> tuple[str, int, str]:
    """The event's wire name, schema version and data as canonical JSON; fields that are unset are left out."""
    event_class = type(event)
    names = _FIELDS[event_class]
    data = {name: value for name in names if (value := getattr(event, name)) is not UNSET}
    return _NAMES[event_class], SCHEMA_VERSION, canonical_json(data)


def decode(name: str, schema_version: int, data: str) -> TaskEvent:
    """The event that was stored as `name` with `data`.

    Raises:
        UnreadableEventError: the name or the schema version is unknown, or the data does not fit.
    """
    event_class = _CLASSES.get(name)
    if event_class is None or schema_version != SCHEMA_VERSION:
        message = f"no event {name!r} with schema version {schema_version} is known"
        raise UnreadableEventError(message)
    try:
        return event_class(**orjson.loads(data))
    except (TypeError, ValueError):
        message = f"the data of an event {name!r} do not fit schema version {schema_version}"
        raise UnreadableEventError(message) from None

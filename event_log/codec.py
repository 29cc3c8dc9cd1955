"""Events in their stored form: stable wire names, schema versions, canonical JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, get_type_hints

import orjson

from domain.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskReopened
from domain.fields import FIELDS, UNSET, Fields

STREAM_ERASED: Final = "stream.erased"
"""The type of an event of the whole stream: the text of all events up to `through` was erased. It changes no task."""

ERASED_TITLE: Final = "[erased]"
"""The title that a replay gives a task whose text was erased."""

_CLASSES: Final[Mapping[str, type[TaskEvent]]] = {
    "task.created": TaskCreated,
    "task.edited": TaskEdited,
    "task.completed": TaskCompleted,
    "task.reopened": TaskReopened,
    "task.deleted": TaskDeleted,
}
EVENT_TYPES: Final = (*_CLASSES, STREAM_ERASED)
"""The wire names of all events."""

_SCHEMA_VERSIONS: Final = dict.fromkeys(_CLASSES, 1) | {"task.created": 2}
_UPCASTERS: Final[Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    # Version 1 had no description.
    ("task.created", 1): lambda data: {"description": None} | data,
}
_NAMES: Final = {event_class: name for name, event_class in _CLASSES.items()}
_FIELDS: Final = {event_class: tuple(field.name for field in fields(event_class)) for event_class in _NAMES}
_TYPES: Final[Mapping[str, Any]] = get_type_hints(Fields)
_REQUIRED: Final[Mapping[str, frozenset[str]]] = {"task.created": frozenset(FIELDS)}
_WITHOUT_FIELDS: Final[Mapping[str, TaskEvent]] = {
    "task.completed": TaskCompleted(),
    "task.reopened": TaskReopened(),
    "task.deleted": TaskDeleted(),
}
_ERASED: Final[Mapping[str, TaskEvent]] = {
    **_WITHOUT_FIELDS,
    "task.created": TaskCreated(title=ERASED_TITLE),
    "task.edited": TaskEdited(),
}


class UnreadableEventError(Exception):
    """A stored event that this code cannot read."""


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no white space: the text that is stored and hashed."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def is_known(name: str, schema_version: int) -> bool:
    """Return whether this code knows events of this type and schema version."""
    return 1 <= schema_version <= _SCHEMA_VERSIONS.get(name, name == STREAM_ERASED)


def encode(event: TaskEvent) -> tuple[str, int, str]:
    """Return the event's wire name, schema version and data as canonical JSON, without unset fields."""
    event_class = type(event)
    name = _NAMES[event_class]
    data = {field: value for field in _FIELDS[event_class] if (value := getattr(event, field)) is not UNSET}
    return name, _SCHEMA_VERSIONS[name], canonical_json(data)


def decode(name: str, schema_version: int, data: str | None) -> TaskEvent:
    """Return the event that was stored as `name` with `data`; `data` is None after an erasure.

    Raises:
        UnreadableEventError: the name or the schema version is unknown, or the data do not fit it.
    """
    newest = _SCHEMA_VERSIONS.get(name, 0)
    if not 1 <= schema_version <= newest:
        message = f"no event {name!r} with schema version {schema_version} is known"
        raise UnreadableEventError(message)
    if data is None:
        return _ERASED[name]
    if data == "{}" and name in _WITHOUT_FIELDS:
        return _WITHOUT_FIELDS[name]
    try:
        values = orjson.loads(data)
        for version in range(schema_version, newest):
            values = _UPCASTERS[name, version](values)
        event = _CLASSES[name](**values)
        fits = values.keys() >= _REQUIRED.get(name, frozenset()) and all(
            isinstance(value, _TYPES[field]) for field, value in values.items()
        )
    except (TypeError, ValueError):
        fits = False
    if not fits:
        message = f"the data of an event {name!r} do not match schema version {schema_version}"
        raise UnreadableEventError(message)
    return event

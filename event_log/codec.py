"""Events in their stored form: stable wire names, schema versions, canonical JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple, get_origin, get_type_hints

import orjson

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
from domain.fields import UNSET, ErasedText, field_getter

STREAM_ERASED: Final = "stream.erased"
"""The type of an event of the whole stream: the text of all events up to `through` was erased. It changes no task."""

ERASED_TITLE: Final = ErasedText("[erased]")
"""The title that a replay gives a task whose text was erased."""

_CLASSES: Final[Mapping[str, type[TaskEvent]]] = {
    "task.created": TaskCreated,
    "task.adopted": TaskAdopted,
    "task.edited": TaskEdited,
    "task.completed": TaskCompleted,
    "task.reopened": TaskReopened,
    "task.deleted": TaskDeleted,
    "task.restored": TaskRestored,
}
EVENT_TYPES: Final = (*_CLASSES, STREAM_ERASED)
"""The wire names of all events."""

_JOINED: Final[Mapping[str, Mapping[str, int]]] = {
    "task.created": {"description": 2, "due_date": 3, "priority": 3, "tags": 3, "category": 3},
    "task.edited": {"due_date": 2, "priority": 2, "tags": 2, "category": 2},
}
"""The schema version in which a field joined an event; the others were there from the first on."""

_OF_1_0: Final = dict.fromkeys(_CLASSES, 1) | {"task.created": 2}
"""The schema versions that release 1.0 writes. An event without a later field is still written so: 1.0 can read it."""

_LEFT_OUT: Final = {"task.adopted": frozenset(["completed_at", "due_date", "priority", "tags", "category"])}
"""Fields that an event leaves out at their default, although its type has had them from the start."""

_NEWEST: Final = {name: max((_OF_1_0[name], *_JOINED.get(name, {}).values())) for name in _CLASSES}
_ALWAYS: Final = object()
_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


class _Member(NamedTuple):
    """A field in the data of an event: since which schema version, and which value is left out as the default."""

    field: str
    since: int
    left_out: object


def _members(name: str) -> tuple[_Member, ...]:
    """Return the members of an event's data. A field that joined after release 1.0 is left out where it is not set."""
    found, optional = [], _LEFT_OUT.get(name, frozenset())
    for field in fields(_CLASSES[name]):
        since = _JOINED.get(name, {}).get(field.name, 1)
        may_lack = since > _OF_1_0[name] or field.default is UNSET or field.name in optional
        left_out = field.default if may_lack else _ALWAYS
        found.append(_Member(field.name, since, left_out))
    return tuple(found)


class _Form(NamedTuple):
    """How an event is stored: its wire name, its schema version without later fields, its members.

    `always` are the names of the members that are always there, `defaults` what the others are where they are left out.
    `values_of_always` and `values_of_others` return the values of both in an event, in their order.
    """

    name: str
    schema_version: int
    members: tuple[_Member, ...]
    always: tuple[str, ...]
    others: tuple[_Member, ...]
    defaults: tuple[object, ...]
    values_of_always: Callable[[object], tuple[object, ...]]
    values_of_others: Callable[[object], tuple[object, ...]]

    @classmethod
    def of(cls, name: str) -> _Form:
        members = _members(name)
        always = tuple(member.field for member in members if member.left_out is _ALWAYS)
        others = tuple(member for member in members if member.left_out is not _ALWAYS)
        defaults = tuple(member.left_out for member in others)
        values = field_getter(always), field_getter([member.field for member in others])
        return cls(name, _OF_1_0[name], members, always, others, defaults, *values)


_FORMS: Final = {event_class: _Form.of(name) for name, event_class in _CLASSES.items()}
_KNOWN: Final = {
    (name, version): frozenset(member.field for member in members if member.since <= version)
    for name, _, members, *_ in _FORMS.values()
    for version in range(1, _NEWEST[name] + 1)
}
_REQUIRED: Final = {
    (name, version): frozenset(
        member.field for member in members if member.since <= version and member.left_out is _ALWAYS
    )
    for name, _, members, *_ in _FORMS.values()
    for version in range(1, _NEWEST[name] + 1)
}
_HINTS: Final[Mapping[str, Any]] = get_type_hints(TaskAdopted)
_LISTS: Final = frozenset(field for field, kind in _HINTS.items() if get_origin(kind) is tuple)
_TIMES: Final = frozenset(["completed_at", "created_at", "updated_at"])
_TYPES: Final = {field: tuple if field in _LISTS else kind for field, kind in _HINTS.items()}
_WITHOUT_FIELDS: Final[Mapping[str, TaskEvent]] = {
    "task.completed": TaskCompleted(),
    "task.reopened": TaskReopened(),
    "task.deleted": TaskDeleted(),
    "task.restored": TaskRestored(),
}
_ERASED: Final[Mapping[str, TaskEvent]] = {
    **_WITHOUT_FIELDS,
    "task.created": TaskCreated(title=ERASED_TITLE),
    "task.adopted": TaskAdopted(title=ERASED_TITLE, created_at=None, updated_at=None),
    "task.edited": TaskEdited(),
}


class UnreadableEventError(Exception):
    """A stored event that this code cannot read."""


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no white space: the text that is stored and hashed; times in UTC with a Z."""
    return orjson.dumps(value, option=_CANONICAL).decode()


def is_known(name: str, schema_version: int) -> bool:
    """Return whether this code knows events of this type and schema version."""
    return 1 <= schema_version <= _NEWEST.get(name, name == STREAM_ERASED)


def encode(event: TaskEvent) -> tuple[str, int, str]:
    """Return the event's wire name, schema version and data as canonical JSON, without unset fields."""
    form = _FORMS[type(event)]
    schema_version = form.schema_version
    data = dict(zip(form.always, form.values_of_always(event)))  # noqa: B905 - strict costs time for each event
    others = form.values_of_others(event)
    if others != form.defaults:
        for (field, since, left_out), value in zip(form.others, others, strict=True):
            if value != left_out:
                data[field] = value
                schema_version = max(schema_version, since)
    return form.name, schema_version, canonical_json(data)


def decode(name: str, schema_version: int, data: str | None) -> TaskEvent:
    """Return the event that was stored as `name` with `data`; `data` is None after an erasure.

    A field that joined later than the event's schema version has its default. If data ever change their shape, this is
    where those of older versions are brought to the new one.

    Raises:
        UnreadableEventError: the name or the schema version is unknown, or the data do not fit it.
    """
    known = _KNOWN.get((name, schema_version))
    if known is None:
        message = f"no event {name!r} with schema version {schema_version} is known to this release"
        raise UnreadableEventError(message)
    if data is None:
        return _ERASED[name]
    if data == "{}" and name in _WITHOUT_FIELDS:
        return _WITHOUT_FIELDS[name]
    try:
        values = orjson.loads(data)
        for field in _LISTS & values.keys():
            values[field] = _strings(values[field])
        if name == "task.adopted":
            values |= {field: _time(values[field]) for field in _TIMES & values.keys()}
        event = _CLASSES[name](**values)
        fits = _REQUIRED[name, schema_version] <= values.keys() <= known and all(
            isinstance(value, _TYPES[field]) for field, value in values.items()
        )
    except (AttributeError, TypeError, ValueError):
        fits = False
    if not fits:
        message = f"the data of an event {name!r} do not match schema version {schema_version}"
        raise UnreadableEventError(message)
    return event


def _time(text: str) -> datetime:
    """Return the time that a text in JSON gives.

    Raises:
        ValueError, TypeError: the text is not a time in UTC with a Z.
    """
    if not text.endswith("Z"):
        raise ValueError
    return datetime.fromisoformat(text)


def _strings(value: object) -> tuple[str, ...]:
    """Return the strings of a JSON array.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(value)

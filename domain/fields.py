"""The fields of a task that a person enters, listed once.

Commands, events and the task's state follow this list, and the codec and the history read it. Where else a field must
be named (its column, its JSON member, its request body), `tests/unit/test_fields.py` says so while it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter
from typing import Any, Final, TypeAlias

from domain.due_date import is_due_date
from domain.labels import MEDIUM, is_category, is_priority, is_tags


class Unset(Enum):
    """A field that a command or an event does not mention; `None` is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class ErasedText(str):
    """What stands for a title that was erased; a title that somebody wrote so is another."""

    __slots__ = ()


FieldValue: TypeAlias = str | tuple[str, ...] | None

TITLE_LENGTH: Final = 200
"""The longest title, in code points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """All fields of a task; a field with a default may be left out, and old events may lack it."""

    title: str
    description: str | None = None
    due_date: str | None = None
    priority: str = MEDIUM
    tags: tuple[str, ...] = ()
    category: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """The same fields; those that do not change are unset."""

    title: str | Unset = UNSET
    description: str | Unset | None = UNSET
    due_date: str | Unset | None = UNSET
    priority: str | Unset = UNSET
    tags: tuple[str, ...] | Unset = UNSET
    category: str | Unset | None = UNSET


FIELDS: Final = tuple(field.name for field in fields(Fields))
"""The names of the fields, in their order everywhere."""


def field_getter(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return a function that returns an object's values of these fields, in their order."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda found: tuple([getattr(found, name) for name in names])


field_values: Final[Callable[[object], tuple[FieldValue | Unset, ...]]] = field_getter(FIELDS)
"""Return the values of all fields of a `Fields`, a `Changes` or a task, in their order."""


def _is_title(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TITLE_LENGTH and not value.isspace()


RULES: Final[Mapping[str, Callable[[object], bool]]] = {
    "title": _is_title,
    "due_date": is_due_date,
    "priority": is_priority,
    "tags": is_tags,
    "category": is_category,
}
"""What a field may hold beyond its type: whether a command can have led to a value."""


def given(changes: Fields | Changes) -> dict[str, FieldValue]:
    """Return the fields that are set, by name."""
    values = zip(FIELDS, field_values(changes))  # noqa: B905 - strict costs time for each event of a replay
    return {name: value for name, value in values if value is not UNSET}


def after(old: Iterable[FieldValue | Unset], new: Iterable[FieldValue | Unset]) -> list[FieldValue | Unset]:
    """Return the new values, and the old ones where they are unset."""
    return [before if value is UNSET else value for before, value in zip(old, new)]  # noqa: B905 - likewise

"""The sorts of a list of tasks, each defined only here.

Each goes in two directions, and the other one has a minus before its name. Cursors, merges, time travel and the OpenAPI
document use them; `migrations/templates.py` writes them into the SQL functions, `read_model/tables.py` builds indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from domain.due_date import microseconds
from domain.labels import MEDIUM_RANK, rank
from domain.task import TITLE_KEY_LENGTH, Task, title_key
from read_model.keys import due_key

Key: TypeAlias = int | str
"""The value that tasks are compared by, as in cursors and in the database's JSON."""

Place: TypeAlias = tuple[Key, int]
"""A task's place in a list: its key and its id."""

_LARGEST: Final = 2**63 - 1
_RANKS: Final = range(5)
_FIRST_TIME: Final = microseconds(datetime.min.replace(tzinfo=UTC))
_LAST_TIME: Final = microseconds(datetime.max.replace(tzinfo=UTC))


def is_bigint(value: object) -> bool:
    """Return whether a value can be a position or an id in the database."""
    return type(value) is int and 0 < value <= _LARGEST


def _is_moment(value: object) -> bool:
    return type(value) is int and -_LARGEST <= value <= _LARGEST


def _is_time(value: object) -> bool:
    return type(value) is int and _FIRST_TIME <= value <= _LAST_TIME


def _is_rank(value: object) -> bool:
    return type(value) is int and value in _RANKS


def _is_title_key(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TITLE_KEY_LENGTH and "\0" not in value


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """An order of tasks by a key, and by id if keys are equal; both go in the same direction.

    `expression` is SQL for what rows `t` are compared by, of a `type`. A sort with an index orders by its `column`, and
    `first` is SQL for a key that comes before all others.
    """

    name: str
    words: str
    key: Callable[[Task], Key]
    is_key: Callable[[object], bool]
    expression: str
    type: str
    descending: bool = False
    index: str | None = None
    column: str = ""
    first: str = ""
    unique: bool = False

    def place(self, task: Task) -> Place:
        """Return the task's place."""
        return self.key(task), task.id

    def is_behind(self, place: Place, other: Place) -> bool:
        """Return whether a list has `place` after `other`."""
        return place < other if self.descending else place > other

    @property
    def sign(self) -> str:
        """Return the SQL operator between a place and one before it."""
        return "<" if self.descending else ">"

    @property
    def direction(self) -> str:
        """Return the SQL word for the direction."""
        return "DESC" if self.descending else "ASC"

    @property
    def key_of_page(self) -> str:
        """Return SQL for the key of a row `p` of a page."""
        return "(extract(epoch FROM p.key) * 1000000)::bigint" if self.type == "timestamptz" else "p.key"

    @property
    def after(self) -> str:
        """Return SQL for what rows are compared by at the key `after_key`."""
        if self.type == "timestamptz":
            return "timestamptz 'epoch' + after_key::bigint * interval '1 microsecond'"
        return f"after_key::{self.type}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of its index behind the user."""
        return (self.column,) if self.unique else (self.column, "id")

    @property
    def order(self) -> str:
        """Return the ORDER BY terms for a query over rows `t` that reads its index."""
        return ", ".join(f"t.{column} DESC" if self.descending else f"t.{column}" for column in self.columns)

    @property
    def scan_order(self) -> str:
        """Return the ORDER BY clause for a query over rows `t` if an index has them in order, otherwise nothing."""
        return f"ORDER BY {self.order}" if self.index else ""

    @property
    def key_order(self) -> str:
        """Return the ORDER BY clause for an aggregate of rows `f` with their `key` if no index has them in order."""
        return "" if self.index else f"ORDER BY f.key {self.direction}, f.id {self.direction}"

    @property
    def behind(self) -> str:
        """Return the condition that a row `t` comes after `after_key` and `after_id`; nulls mean the start."""
        start = _LARGEST if self.descending else 0
        key = f"coalesce(after_key::{self.type}, {self.first})"
        if self.unique:
            return f"t.{self.column} {self.sign} {key}"
        return f"(t.{self.column}, t.id) {self.sign} ({key}, coalesce(after_id, {start}))"


def _due(none: int) -> Callable[[Task], int]:
    """Return the key of tasks by due date, which is `none` for a task without one."""

    def key(task: Task) -> int:
        at = due_key(task)
        return none if at is None else at

    return key


_CREATED: Final = Sort(
    name="created",
    words="newest first",
    key=lambda task: task.created_position,
    is_key=is_bigint,
    expression="t.created_position",
    type="bigint",
    descending=True,
    index="tasks_by_creation",
    column="created_position",
    first=str(_LARGEST),
    unique=True,
)
_UPDATED: Final = Sort(
    name="updated",
    words="last changed first",
    key=lambda task: microseconds(task.updated_at),
    is_key=_is_time,
    expression="t.updated_at",
    type="timestamptz",
    descending=True,
)
_TITLE: Final = Sort(
    name="title",
    words="by title without regard to case",
    key=lambda task: title_key(task.title),
    is_key=_is_title_key,
    expression="t.title_key",
    type="text",
    index="tasks_by_title",
    column="title_key",
    first="''",
)
_SOONEST: Final = Sort(
    name="due",
    words="due soonest first, those without a due date last",
    key=_due(_LARGEST),
    is_key=_is_moment,
    expression=f"coalesce(t.due_key, {_LARGEST})",
    type="bigint",
)
_PRIORITY: Final = Sort(
    name="priority",
    words="highest priority first",
    key=lambda task: rank(task.priority),
    is_key=_is_rank,
    expression=f"coalesce(t.priority_rank, {MEDIUM_RANK})",
    type="integer",
    descending=True,
)
_TURNED: Final = (
    replace(_CREATED, name="-created", words="oldest first", descending=False, first="0"),
    replace(_UPDATED, name="-updated", words="last changed last", descending=False),
    # No title has a key behind this one.
    replace(
        _TITLE,
        name="-title",
        words="by title, Z to A",
        descending=True,
        first=f"repeat(chr(1114111), {TITLE_KEY_LENGTH + 1})",
    ),
    replace(
        _SOONEST,
        name="-due",
        words="due last first, those without a due date last",
        descending=True,
        key=_due(-_LARGEST),
        expression=f"coalesce(t.due_key, -{_LARGEST})",
    ),
    replace(_PRIORITY, name="-priority", words="lowest priority first", descending=False),
)

SORTS: Final[Mapping[str, Sort]] = {
    sort.name: sort for sort in (_CREATED, _UPDATED, _TITLE, _SOONEST, _PRIORITY, *_TURNED)
}
"""The sorts by their names, in both directions; the default is first."""

INDEXED: Final = tuple(sort for sort in SORTS.values() if sort.index)
"""The sorts whose lists are read in order from an index."""


def directed(name: str, order: str | None) -> Sort:
    """Return the sort of a name, in its own direction or in `order`: asc or desc."""
    sort = SORTS[name]
    return sort if order in {None, sort.direction.lower()} else SORTS[f"-{name}"]

"""The orders that a list of tasks can have, each written down here alone.

Cursors, merges, time travel and the contract's document read them; `migrations/templates.py` writes them into the SQL
functions, `read_model/tables.py` builds their indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from domain.task import TITLE_KEY_LENGTH, Task, title_key

Key: TypeAlias = int | str
"""What tasks are compared by; as a cursor keeps it, and as the database writes it into JSON."""

Place: TypeAlias = tuple[Key, int]
"""A task's place in a list: its key and its id."""

_LARGEST: Final = 2**63 - 1


def is_bigint(value: object) -> bool:
    """Whether the database can take it for the number of an event or a task."""
    return type(value) is int and 0 < value <= _LARGEST


def _is_title_key(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TITLE_KEY_LENGTH and "\0" not in value


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """An order of tasks by a key, and by id where keys may be equal.

    `first` is SQL for a key that stands before all others, in the direction of the sort.
    """

    name: str
    words: str
    key: Callable[[Task], Key]
    is_key: Callable[[object], bool]
    column: str
    type: str
    first: str
    index: str
    descending: bool = False
    unique: bool = False

    def place(self, task: Task) -> Place:
        """Return the task's place."""
        return self.key(task), task.id

    def is_behind(self, place: Place, other: Place) -> bool:
        """Whether a list has `place` after `other`."""
        return place < other if self.descending else place > other

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `tasks` that its rows are ordered by."""
        return (self.column,) if self.unique else (self.column, "id")

    @property
    def order(self) -> str:
        """What follows ORDER BY, in a query over rows `t`."""
        return ", ".join(f"t.{column} DESC" if self.descending else f"t.{column}" for column in self.columns)

    @property
    def behind(self) -> str:
        """The condition that a row `t` is behind the parameters `after_key` and `after_id`, both null for the first."""
        sign, start = ("<", _LARGEST) if self.descending else (">", 0)
        key = f"coalesce(after_key::{self.type}, {self.first})"
        if self.unique:
            return f"t.{self.column} {sign} {key}"
        return f"(t.{self.column}, t.id) {sign} ({key}, coalesce(after_id, {start}))"


_ALL: Final = (
    Sort(
        name="created",
        words="newest first",
        key=lambda task: task.created_position,
        is_key=is_bigint,
        column="created_position",
        type="bigint",
        first=str(_LARGEST),
        index="tasks_by_creation",
        descending=True,
        unique=True,
    ),
    Sort(
        name="title",
        words="by title without regard to case",
        key=lambda task: title_key(task.title),
        is_key=_is_title_key,
        column="title_key",
        type="text",
        first="''",
        index="tasks_by_title",
    ),
)

SORTS: Final[Mapping[str, Sort]] = {sort.name: sort for sort in _ALL}
"""The sorts by the name that a request has for them, the usual one first."""

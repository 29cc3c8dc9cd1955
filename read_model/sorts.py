"""The sorts of a list of tasks, each defined only here.

Cursors, merges, time travel and the OpenAPI document use them; `migrations/templates.py` writes them into the SQL
functions, `read_model/tables.py` builds their indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from domain.task import TITLE_KEY_LENGTH, Task, title_key

Key: TypeAlias = int | str
"""The value that tasks are compared by, as in cursors and in the database's JSON."""

Place: TypeAlias = tuple[Key, int]
"""A task's place in a list: its key and its id."""

_LARGEST: Final = 2**63 - 1


def is_bigint(value: object) -> bool:
    """Return whether a value can be a position or an id in the database."""
    return type(value) is int and 0 < value <= _LARGEST


def _is_title_key(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TITLE_KEY_LENGTH and "\0" not in value


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """An order of tasks by a key, and by id if keys can be equal.

    `first` is SQL for a key that comes before all others, in the direction of the sort.
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
        """Return whether a list has `place` after `other`."""
        return place < other if self.descending else place > other

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of `tasks` that its rows are ordered by."""
        return (self.column,) if self.unique else (self.column, "id")

    @property
    def order(self) -> str:
        """Return the ORDER BY terms for a query over rows `t`."""
        return ", ".join(f"t.{column} DESC" if self.descending else f"t.{column}" for column in self.columns)

    @property
    def behind(self) -> str:
        """Return the condition that a row `t` comes after `after_key` and `after_id`; nulls mean the start."""
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
"""The sorts by their names in requests; the default is first."""

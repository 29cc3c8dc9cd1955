"""The columns of a table to adopt: how they may be named, which types they may have, and the SQL that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_WHOLE_NUMBERS: Final = ("smallint", "integer", "bigint", "numeric")
_MOMENTS: Final = ("timestamp with time zone", "timestamp without time zone", "date")
_LISTS: Final = ("json", "jsonb")
_ANY: Final = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A member of a task: the names that its column may have, the types, and whether a table may lack it.

    Names are compared without regard to case and underscores, as other tools write `createdAt`.
    """

    names: tuple[str, ...]
    types: tuple[str, ...] = _ANY
    optional: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "id": Kind(names=("id",), types=_WHOLE_NUMBERS),
    "user_id": Kind(names=("userid",)),
    "title": Kind(names=("title",)),
    "description": Kind(names=("description",), optional=True),
    "completed": Kind(names=("completed", "iscompleted"), types=("boolean",)),
    "created_at": Kind(names=("createdat",), types=_MOMENTS),
    "updated_at": Kind(names=("updatedat",), types=_MOMENTS, optional=True),
    "completed_at": Kind(names=("completedat",), types=_MOMENTS, optional=True),
    "priority": Kind(names=("priority",), optional=True),
    "due_date": Kind(names=("duedate", "dueat"), optional=True),
    "tags": Kind(names=("tags",), optional=True),
    "category": Kind(names=("category",), optional=True),
}


class ColumnsError(Exception):
    """A table without the columns of tasks; the message continues a sentence that begins with the table's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of the source, and its type as Postgres names it; for a domain, its base type."""

    name: str
    type: str

    @property
    def is_array(self) -> bool:
        """Return whether it holds arrays."""
        return self.type.endswith("[]")

    def sql(self, member: str) -> str:
        """Return the SQL that reads this column of a row `t` as a member of a task."""
        value = f"t.{quoted(self.name)}"
        kind = self.type.partition("(")[0]
        if member in {"created_at", "updated_at", "completed_at"}:
            return _moment(value, kind)
        if member == "id":
            return f"{value}::bigint" if kind == "numeric" else value
        if member == "tags" and self.is_array:
            return f"{value}::text[]"
        if member == "due_date" and kind in _MOMENTS[:2]:
            return _due(value, kind)
        return value if member == "completed" else f"{value}::text"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _moment(value: str, kind: str) -> str:
    """Return SQL for a time with a zone. Without a zone it is UTC; outside Python's calendar it is the nearest end."""
    at = value if kind == _MOMENTS[0] else f"{value}::timestamp AT TIME ZONE 'UTC'"
    nearest = f"greatest(timestamptz '0001-01-02 UTC', least(timestamptz '9999-12-30 UTC', {at}))"
    return f"CASE WHEN {value} IS NOT NULL THEN {nearest} END"


def _due(value: str, kind: str) -> str:
    """Return SQL for a time as a due date: in UTC with a Z if the type has a zone, otherwise without one."""
    zone, utc = ("Z", " AT TIME ZONE 'UTC'") if kind == _MOMENTS[0] else ("", "")
    form = 'YYYY-MM-DD"T"HH24:MI:SS'
    return (
        f"CASE WHEN NOT isfinite({value}) THEN {value}::text"
        f" WHEN date_trunc('second', {value}) = {value} THEN to_char({value}{utc}, '{form}') || '{zone}'"
        f" ELSE to_char({value}{utc}, '{form}.US') || '{zone}' END"
    )


def found(columns: Iterable[Column]) -> tuple[dict[str, Column], list[str]]:
    """Return the columns by the member that each holds, and the names of columns that hold none.

    Raises:
        ColumnsError: a column is missing, there are two for a member, or one has a type that its member cannot have.
    """
    columns, taken = list(columns), dict[str, Column]()
    for member, kind in KINDS.items():
        fitting = [column for column in columns if column.name.lower().replace("_", "") in kind.names]
        exact = [column for column in fitting if column.name == member] or fitting
        if len(exact) > 1:
            names = " and ".join(column.name for column in exact)
            raise ColumnsError(f"has {names}, which are both {member}: adopt a view that has one of them")
        for column in exact:
            _check(member, kind, column)
            taken[member] = column
    if missing := [member for member, kind in KINDS.items() if not kind.optional and member not in taken]:
        raise ColumnsError(f"has no column {' and no column '.join(missing)}: name another one, or adopt a view of it")
    return taken, [column.name for column in columns if column not in taken.values()]


def _check(member: str, kind: Kind, column: Column) -> None:
    if kind.types and column.type.partition("(")[0] not in kind.types:
        wanted = "whole numbers" if member == "id" else "true or false" if member == "completed" else "a time"
        raise ColumnsError(
            f"has {column.name} of type {column.type}, and it must be {wanted}: adopt a view that casts it"
        )

"""The query parameters of tasks, parsed and documented."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic import Field as Described

from edge.problem_kinds import Kind
from edge.problems import ProblemError, invalid
from read_api.cursor import CursorError, decode, filters_digest
from read_api.filter_parameters import FILTER_NAMES, FILTER_PARAMETERS, filters_of
from read_api.queries import PLAIN, TaskQuery
from read_model.sorts import SORTS, directed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from starlette.datastructures import QueryParams

    from read_api.cursor import Cursor, Status


class Stats(BaseModel):
    """How many tasks a user has."""

    total: int
    pending: int
    completed: int
    overdue: int = Described(
        description="Not completed, and the moment has passed when they were due; of a date, its day in UTC"
    )


LIMIT: Final = 1000
"""The longest page, in tasks or events."""

BIGINT_DIGITS: Final = 18
"""Numbers of at most this many digits fit a bigint; no stream gets that long."""

# A "+" that was not percent-encoded arrives as a space.
_RFC_3339: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?)([Zz]|[-+ ]\d\d:\d\d)", re.ASCII)
_STATUSES: Final[Mapping[str, Status]] = {
    "all": "all",
    "pending": "pending",
    "completed": "completed",
    "active": "pending",
    "incomplete": "pending",
    "todo": "pending",
    "done": "completed",
    "": "all",
}
_COMPLETED: Final[Mapping[str, Status]] = {"true": "completed", "false": "pending", "all": "all", "": "all"}
_SORT_NAMES: Final = ("sort", "sort_by", "sortBy")
_SORTS: Final[Mapping[str, str]] = {
    "created": "created",
    "updated": "updated",
    "title": "title",
    "due": "due",
    "priority": "priority",
    "created_at": "created",
    "createdAt": "created",
    "date": "created",
    "newest": "created",
    "updated_at": "updated",
    "updatedAt": "updated",
    "alpha": "title",
    "alphabetical": "title",
    "name": "title",
    "due_date": "due",
    "dueDate": "due",
    "due_at": "due",
}
"""The sorts by the names that clients send."""
_ORDER_NAMES: Final = ("order", "sort_order", "sortOrder")
_ORDERS: Final = ("asc", "desc")


def _synonyms() -> str:
    """Return the sentence with the other names of each sort."""
    others = {sort: [f"`{name}`" for name, of in _SORTS.items() if of == sort != name] for sort in _SORTS.values()}
    return "; ".join(f"{', '.join(names)} for {sort}" for sort, names in others.items() if names)


AS_OF: Final[dict[str, Any]] = {
    "name": "as_of",
    "in": "query",
    "description": "Show the past: a position of the user's history (digits), or a time (RFC 3339)",
    "schema": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
}
LIST_PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "status",
        "in": "query",
        "description": "Which tasks, in any case; `active`, `incomplete` and `todo` are pending, `done` is completed",
        "schema": {"type": "string", "enum": [*filter(None, _STATUSES)], "default": "all"},
    },
    {
        "name": "completed",
        "in": "query",
        "description": "The same as `status`, as a truth value; 400 where the two contradict each other",
        "schema": {"type": "string", "enum": [*filter(None, _COMPLETED)]},
    },
    *FILTER_PARAMETERS,
    {
        "name": "sort",
        "in": "query",
        "description": f"{'; '.join(f'{name}: {SORTS[name].words}' for name in dict.fromkeys(_SORTS.values()))}. "
        f"Those alike go by id. {_synonyms()}. Also sent as `sort_by` or `sortBy`",
        "schema": {"type": "string", "enum": list(_SORTS), "default": PLAIN.sort},
    },
    {
        "name": "order",
        "in": "query",
        "description": "The direction of the sort, if not the one above; also sent as `sort_order` or `sortOrder`",
        "schema": {"type": "string", "enum": list(_ORDERS)},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "The most tasks of a page; without it, one page has all",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "Where the page begins: from the `Link` of the previous page, with the same other parameters",
        "schema": {"type": "string", "format": "task-cursor", "minLength": 1},
    },
    AS_OF,
)


def task_query(parameters: QueryParams) -> TaskQuery:
    """Return the list query of some parameters; unknown parameters are ignored.

    Raises:
        ProblemError: a value is not valid (422), or two contradict each other (400), as a cursor of another list.
    """
    if not parameters:
        return PLAIN
    status, filters, sort = _status(parameters), filters_of(parameters), _sort(parameters)
    length = parameters.get("limit")
    limit = None if length is None else number("limit", length, 1, LIMIT)
    after = _cursor(parameters.get("cursor"))
    if after is not None and (after.status, after.filters, after.sort) != (status, filters_digest(filters), sort):
        raise ProblemError(
            Kind.CONTRADICTORY_REQUEST, "The cursor belongs to a list with another status, filter or sort"
        )
    past = as_of(parameters)
    if past is None:
        check_as_of(after, None)
    return TaskQuery(status=status, filters=filters, sort=sort, limit=limit, after=after, as_of=past)


def link_parameters(parameters: QueryParams, query: TaskQuery) -> list[tuple[str, object]]:
    """Return what asks for the same list again, but for its page."""
    sent = [(name, value) for name, value in parameters.multi_items() if name in FILTER_NAMES]
    order = [] if query.sort in _SORTS else [("order", "desc" if query.order.descending else "asc")]
    return [("status", query.status), *sent, ("sort", query.sort.removeprefix("-")), *order]


def _status(parameters: QueryParams) -> Status:
    """Return the status that `status` and `completed` ask for."""
    status = _STATUSES[one_of("status", parameters.get("status", "all").lower(), _STATUSES)]
    completed = _COMPLETED[one_of("completed", parameters.get("completed", "all"), _COMPLETED)]
    if "all" in {status, completed}:
        return status if completed == "all" else completed
    if status != completed:
        raise ProblemError(Kind.CONTRADICTORY_REQUEST, "status and completed contradict each other: send one of them")
    return status


def _sort(parameters: QueryParams) -> str:
    """Return the name of the sort that is asked for, in its direction."""
    name, value = _first(parameters, _SORT_NAMES)
    sort = PLAIN.sort if value is None else _SORTS[one_of(name, value, _SORTS)]
    name, order = _first(parameters, _ORDER_NAMES)
    return directed(sort, None if order is None else one_of(name, order, _ORDERS)).name


def _first(parameters: QueryParams, names: Sequence[str]) -> tuple[str, str | None]:
    """Return the first of some names that was sent, and its value."""
    return next(((name, parameters[name]) for name in names if name in parameters), (names[0], None))


def as_of(parameters: Mapping[str, str]) -> int | datetime | None:
    """Return the requested position (digits only) or time; None for now.

    Raises:
        ProblemError: it is neither (422).
    """
    text = parameters.get("as_of")
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= BIGINT_DIGITS:
        return int(text)
    parts = _RFC_3339.fullmatch(text)
    try:
        if parts is not None:
            return datetime.fromisoformat(parts[1].upper() + parts[2].upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise invalid("as_of", "must be a position or a time like 2026-02-07T12:00:00Z")


def check_as_of(after: Cursor | None, position: int | None) -> None:
    """Refuse a cursor of another moment than `position`; None means now.

    Raises:
        ProblemError: the cursor is of another moment (400).
    """
    if after is not None and after.as_of != position:
        raise ProblemError(Kind.CONTRADICTORY_REQUEST, "The cursor belongs to a list with another as_of")


def one_of(name: str, value: str, values: Collection[str]) -> str:
    """Return the value if it is one of `values`.

    Raises:
        ProblemError: it is not (422).
    """
    if value not in values:
        raise invalid(name, f"must be one of {', '.join(filter(None, values))}")
    return value


def number(name: str, text: str, least: int, most: int) -> int:
    """Return the number that `text` holds in digits, between `least` and `most`.

    Raises:
        ProblemError: it does not hold one (422).
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise invalid(name, f"must be a number from {least} to {most}")
    return int(text)


def _cursor(text: str | None) -> Cursor | None:
    try:
        return None if text is None else decode(text)
    except CursorError:
        raise invalid("cursor", "must come from a page's Link") from None

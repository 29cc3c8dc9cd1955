"""The query parameters of tasks, parsed and documented."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from edge.problem_kinds import Kind
from edge.problems import ProblemError, invalid
from read_api.cursor import CursorError, Status, decode
from read_api.queries import TaskQuery
from read_model.sorts import SORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from read_api.cursor import Cursor

LIMIT: Final = 1000
"""The longest page, in tasks or events."""

BIGINT_DIGITS: Final = 18
"""Numbers of at most this many digits fit a bigint; no stream gets that long."""

# A "+" that was not percent-encoded arrives as a space.
_RFC_3339: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?)([Zz]|[-+ ]\d\d:\d\d)", re.ASCII)
_STATUSES: Final = get_args(Status)
_SORTS: Final = tuple(SORTS)
_ORDERS: Final = ", or ".join(sort.words for sort in SORTS.values())
_DEFAULT: Final = TaskQuery()

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
        "description": "Which tasks",
        "schema": {"type": "string", "enum": list(_STATUSES), "default": "all"},
    },
    {
        "name": "sort",
        "in": "query",
        "description": _ORDERS[0].upper() + _ORDERS[1:],
        "schema": {"type": "string", "enum": list(_SORTS), "default": _DEFAULT.sort},
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


def task_query(parameters: Mapping[str, str]) -> TaskQuery:
    """Return the list query of some parameters; unknown parameters are ignored.

    Raises:
        ProblemError: a value is not valid (422), or the cursor belongs to another list (400).
    """
    if not parameters:
        return _DEFAULT
    status = cast("Status", one_of("status", parameters.get("status", "all"), _STATUSES))
    sort = one_of("sort", parameters.get("sort", _DEFAULT.sort), _SORTS)
    length = parameters.get("limit")
    limit = None if length is None else number("limit", length, 1, LIMIT)
    after = _cursor(parameters.get("cursor"))
    if after is not None and (after.status, after.sort) != (status, sort):
        raise ProblemError(Kind.CONTRADICTORY_REQUEST, "The cursor belongs to a list with another status or sort")
    past = as_of(parameters)
    if past is None:
        check_as_of(after, None)
    return TaskQuery(status=status, sort=sort, limit=limit, after=after, as_of=past)


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


def one_of(name: str, value: str, values: tuple[str, ...]) -> str:
    """Return the value if it is one of `values`.

    Raises:
        ProblemError: it is not (422).
    """
    if value not in values:
        raise invalid(name, f"must be one of {', '.join(values)}")
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

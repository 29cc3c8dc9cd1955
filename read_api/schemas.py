"""The query parameters of the list, parsed and documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from edge.problems import ProblemError, invalid
from read_api.cursor import CursorError, decode
from read_api.queries import TaskQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from read_api.cursor import Cursor, Sort, Status

LIMIT: Final = 1000
"""The longest page."""

_STATUSES: Final = ("all", "pending", "completed")
_SORTS: Final = ("created", "title")
_DEFAULT: Final = TaskQuery(status="all", sort="created", limit=None, after=None)

LIST_PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "status",
        "in": "query",
        "description": "Which tasks",
        "schema": {"type": "string", "enum": list(_STATUSES), "default": "all"},
    },
    {
        "name": "sort",
        "in": "query",
        "description": "Newest first, or by title without regard to case",
        "schema": {"type": "string", "enum": list(_SORTS), "default": "created"},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "The length of a page; without it, all",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "Where the page begins: from the `Link` of the page before, which asked for the same list",
        "schema": {"type": "string", "format": "task-cursor", "minLength": 1},
    },
]


def task_query(parameters: Mapping[str, str]) -> TaskQuery:
    """What is asked of the list; parameters that nobody knows are ignored.

    Raises:
        ProblemError: a value does not fit (422), or the cursor is of another list (400).
    """
    if not parameters:
        return _DEFAULT
    status = cast("Status", _one_of("status", parameters.get("status", "all"), _STATUSES))
    sort = cast("Sort", _one_of("sort", parameters.get("sort", "created"), _SORTS))
    limit = _limit(parameters.get("limit"))
    after = _cursor(parameters.get("cursor"))
    if after is not None and (after.status, after.sort) != (status, sort):
        raise ProblemError(400, "The cursor belongs to a list with another status or sort")
    return TaskQuery(status=status, sort=sort, limit=limit, after=after)


def _one_of(name: str, value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise invalid(name, f"must be one of {', '.join(values)}")
    return value


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT)) and 1 <= int(text) <= LIMIT):
        raise invalid("limit", f"must be a number from 1 to {LIMIT}")
    return int(text)


def _cursor(text: str | None) -> Cursor | None:
    try:
        return None if text is None else decode(text)
    except CursorError:
        raise invalid("cursor", "must be the one of a page's Link") from None

"""The query parameters that filter a list: parsed, and documented."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from domain.due_date import due_date, microseconds, moment_of
from domain.labels import LABEL_LENGTH, MOST_TAGS, label_key
from edge.problems import invalid
from read_model.filters import Filters
from read_model.keys import category_facet, folded, priority_facet, tag_facet

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import QueryParams

SEARCH_LENGTH: Final = 200
"""The longest search, in characters."""

_SYNONYMS: Final = {"search": "q", "tags": "tag"}
FILTER_NAMES: Final = ("search", "q", "priority", "category", "tags", "tag", "due_before", "due_after")
"""The names by which filters are sent, but for the status."""

_WITHOUT_NUL: Final = r"^[^\x00]*$"

# A "+" that was not percent-encoded arrives as a space.
_SPACE_FOR_PLUS: Final = re.compile(r"(?P<time>[.:]\d+) (?=\d\d(?::?\d\d)?$)", re.ASCII)


def filters_of(parameters: QueryParams) -> Filters:
    """Return the filters of some parameters; of two names for one thing, the first of FILTER_NAMES wins.

    Raises:
        ProblemError: a value is not valid (422).
    """
    lines = (*_lines(parameters, "priority", priority_facet), *_lines(parameters, "category", category_facet))
    return Filters(
        lines=(*lines, *_tags(parameters)),
        words=_words(parameters),
        due_after=_moment(parameters, "due_after"),
        due_before=_moment(parameters, "due_before"),
    )


def is_no_filter(value: str) -> bool:
    """Return whether a value asks for nothing: it is empty or says all, in any case."""
    return label_key(value) in {"", "all"}


def _sent_as(parameters: QueryParams, name: str) -> str | None:
    """Return the name by which a parameter was sent, or None if it was not."""
    if name in parameters:
        return name
    synonym = _SYNONYMS.get(name)
    return synonym if synonym in parameters else None


def _lines(parameters: QueryParams, name: str, facet: Callable[[str], str]) -> list[str]:
    value = parameters.get(name, "")
    if is_no_filter(value):
        return []
    _check_text(name, value, LABEL_LENGTH)
    return [facet(value)]


def _tags(parameters: QueryParams) -> list[str]:
    name = _sent_as(parameters, "tags")
    if name is None:
        return []
    tags = [tag.strip() for value in parameters.getlist(name) for tag in value.split(",") if not is_no_filter(tag)]
    for tag in tags:
        _check_text(name, tag, LABEL_LENGTH)
    lines = sorted({tag_facet(tag) for tag in tags})
    if len(lines) > MOST_TAGS:
        raise invalid(name, f"must be at most {MOST_TAGS} tags")
    return lines


def _words(parameters: QueryParams) -> tuple[str, ...]:
    name = _sent_as(parameters, "search")
    if name is None:
        return ()
    text = parameters[name]
    _check_text(name, text, SEARCH_LENGTH)
    return tuple(sorted(set(folded(text).split())))


def _check_text(name: str, text: str, length: int) -> None:
    if len(text) > length or "\0" in text:
        raise invalid(name, f"must be at most {length} characters, none of them NUL")


def _moment(parameters: QueryParams, name: str) -> int | None:
    value = parameters.get(name, "")
    if is_no_filter(value):
        return None
    try:
        return microseconds(moment_of(due_date(_SPACE_FOR_PLUS.sub(r"\g<time>+", value))))
    except ValueError:
        raise invalid(name, "must be a date like 2026-02-07 or a time like 2026-02-07T12:00:00Z") from None


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


FILTER_PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    _parameter(
        "search",
        "Only tasks in whose title, description, tags or category every word occurs, in any case; also as `q`",
        maxLength=SEARCH_LENGTH,
        pattern=_WITHOUT_NUL,
    ),
    _parameter(
        "priority",
        "Only tasks of this priority, in any case; the words of a rank are alike: low and P3, medium and P2, high and "
        "P1, urgent and critical. Empty or `all` is no filter",
        maxLength=LABEL_LENGTH,
        pattern=_WITHOUT_NUL,
    ),
    _parameter(
        "category",
        "Only tasks of this category, in any case. Empty or `all` is no filter",
        maxLength=LABEL_LENGTH,
        pattern=_WITHOUT_NUL,
    ),
    {
        "name": "tags",
        "in": "query",
        "description": "Only tasks with all of these tags, in any case: repeated, or with commas between; also as "
        "`tag`. Empty or `all` is no filter",
        "schema": {
            "type": "array",
            "items": {"type": "string", "maxLength": LABEL_LENGTH, "pattern": _WITHOUT_NUL},
            "maxItems": MOST_TAGS,
        },
        "style": "form",
        "explode": True,
    },
    _parameter(
        "due_after",
        "Only tasks due at this date or time, or later; a date is its first moment in UTC",
        format="due-date",
    ),
    _parameter(
        "due_before", "Only tasks due before this date or time; a date is its first moment in UTC", format="due-date"
    ),
)

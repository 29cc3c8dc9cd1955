"""A row of the source as a task to adopt, or why the ledger cannot hold it.

The rules are those of the API: a client could have sent each value. So no reader meets a value that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from domain.due_date import due_date
from domain.events import TaskAdopted
from domain.fields import RULES, TITLE_LENGTH
from domain.labels import LABEL_LENGTH, MEDIUM, MOST_TAGS, tags_of
from event_log.adoption import Adoptable
from event_log.codec import encode
from event_log.user_id import is_user_id

DATA_BYTES: Final = 1024 * 1024
"""The most bytes of an event's data: as many as a request's body may have."""
LARGEST_ID: Final = 2**52
"""The largest id that is adopted: new tasks get larger ones, and these must stay below 2^53."""
_YEARS: Final = range(2, 9999)
_NONE: Final = (None,) * 4
"""Priority, due date, tags and category if the table lacks their columns, as most tables do."""
_LABEL: Final = f"is longer than {LABEL_LENGTH} characters"
_RULE_WORDS: Final = {
    "title": f"is empty, only white space, or longer than {TITLE_LENGTH} characters",
    "priority": _LABEL,
    "category": _LABEL,
    "tags": f"are not at most {MOST_TAGS} texts of at most {LABEL_LENGTH} characters",
    "due_date": "is no date like 2026-02-07 and no time like 2026-02-07T12:00:00Z",
}


class RowError(Exception):
    """A row that the ledger cannot hold: the message names the member and what is wrong, but never shows its text."""


_known_user: Final = lru_cache(maxsize=100)(is_user_id)
"""Tells whether a text can be a user id; cached, because the rows of a user follow each other."""


def adoptable(row: Sequence[Any]) -> Adoptable:
    """Return the task of a row, whose members are in the order of `adoption.columns.KINDS`.

    Raises:
        RowError: the ledger cannot hold it.
    """
    task_id, user_id, *members = row
    if user_id is None or not _known_user(user_id):
        raise RowError("user_id is not 1 to 255 characters without slashes, control characters or outer spaces")
    if task_id is None or not 0 < task_id <= LARGEST_ID:
        raise RowError("id is not between 1 and 2^52")
    name, schema_version, data = encode(_event(*members))
    if len(data) > DATA_BYTES // 4 and len(data.encode()) > DATA_BYTES:
        raise RowError(f"its texts take more than {DATA_BYTES // 1024:,} KiB")
    return Adoptable(user_id, task_id, name, schema_version, data)


def _event(  # noqa: PLR0913, PLR0917 - the columns
    title: str | None,
    description: str | None,
    completed: bool | None,  # noqa: FBT001
    created_at: datetime | None,
    updated_at: datetime | None,
    completed_at: datetime | None,
    *optional: Any,
) -> TaskAdopted:
    created_at, updated_at = (
        _time("created_at", created_at or updated_at),
        _time("updated_at", updated_at or created_at),
    )
    fields = {"title": title} if optional == _NONE else {"title": title, **_optional(*optional)}
    for member, value in fields.items():
        if not RULES[member](value):
            raise RowError(f"{member} {_RULE_WORDS[member]}")
    return TaskAdopted(
        **fields,
        description=description,
        completed_at=_time("completed_at", completed_at or updated_at) if completed else None,
        created_at=created_at,
        updated_at=updated_at,
    )


def _optional(
    priority: str | None, due: str | None, tags: str | list[str | None] | None, category: str | None
) -> dict[str, Any]:
    return {
        "priority": priority or MEDIUM,
        "due_date": _due_date(due),
        "tags": _tags(tags),
        "category": category or None,
    }


def _time(member: str, at: datetime | None) -> datetime:
    if at is None:
        raise RowError("created_at and updated_at are NULL")
    if at.year not in _YEARS:
        raise RowError(f"{member} is not within the years {_YEARS[0]} to {_YEARS[-1]}")
    return at


def _due_date(text: str | None) -> str | None:
    try:
        return due_date(text) if text else None
    except ValueError:
        raise RowError(f"due_date {_RULE_WORDS['due_date']}") from None


def _tags(value: str | list[str | None] | None) -> tuple[str, ...]:
    """Return the tags of an array, of JSON or of a text with commas, in the form that events keep."""
    if isinstance(value, str):
        value = _listed(value)
    texts = [text for text in value or () if text is not None]
    unfit = RowError(f"tags {_RULE_WORDS['tags']}")
    if any(not isinstance(text, str) or "\0" in text for text in texts):
        raise unfit
    try:
        return tags_of(texts)
    except ValueError:
        raise unfit from None


def _listed(text: str) -> list[Any]:
    """Return the tags of a text: a JSON array, null, or tags separated by commas."""
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.split(",")
    match listed:
        case None:
            return []
        case list():
            return listed
        case str():
            return listed.split(",")
        case dict():
            raise RowError(f"tags {_RULE_WORDS['tags']}")
        case _:  # a tag like 2026
            return text.split(",")

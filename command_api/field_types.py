"""The types of fields in bodies: what clients send for them, taken, brought into the form that is kept, or refused."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, AliasChoices, Field, WithJsonSchema

from domain.due_date import due_date
from edge.bodies import broken_rule

_DATE_RULE: Final = "must be a date like 2026-02-07, or a time like 2026-02-07T12:00 or 2026-02-07T12:00:00Z"


def _due_date(text: str | None) -> str | None:
    try:
        return due_date(text) if text else None
    except ValueError:
        raise broken_rule(_DATE_RULE) from None


DueDate = Annotated[
    str | None,
    AfterValidator(_due_date),
    Field(
        validation_alias=AliasChoices("due_date", "dueDate", "due_at"),
        description="A date, or a time with or without a zone (ISO 8601); null and an empty text clear it. Read as "
        "dueDate or due_at, too",
    ),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "due-date"}, {"type": "null"}]}),
]
"""A due date as it is kept, or None."""

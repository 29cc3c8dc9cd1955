"""The types of fields in bodies: what clients send for them, brought into the form that is kept, or refused."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, WithJsonSchema

from domain.due_date import due_date
from domain.labels import LABEL_LENGTH, MEDIUM, MOST_TAGS, tags_of
from edge.bodies import broken_rule, without_nul

_DATE_RULE: Final = "must be a date like 2026-02-07, or a time like 2026-02-07T12:00 or 2026-02-07T12:00:00Z"
_LABEL_RULE: Final = f"must be at most {LABEL_LENGTH} characters"
_TAGS_RULE: Final = f"must be at most {MOST_TAGS} tags of at most {LABEL_LENGTH} characters"
_TAGS_KIND: Final = "must be an array of strings, or one string with commas"
_NULL: Final[dict[str, Any]] = {"type": "null"}
_TEXT: Final[dict[str, Any]] = {"type": "string", "pattern": r"^[^\x00]*$"}
_LABEL: Final[dict[str, Any]] = {**_TEXT, "maxLength": LABEL_LENGTH}


def _due_date(text: str | None) -> str | None:
    try:
        return due_date(text) if text else None
    except ValueError:
        raise broken_rule(_DATE_RULE) from None


def _label(text: str | None) -> str | None:
    if not text:
        return None
    if len(text) > LABEL_LENGTH:
        raise broken_rule(_LABEL_RULE)
    return without_nul(text)


def _tags(value: object) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else [] if value is None else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise broken_rule(_TAGS_KIND)
    texts = [without_nul(text) for text in texts]
    try:
        return tags_of(texts)
    except ValueError:
        raise broken_rule(_TAGS_RULE) from None


DueDate = Annotated[
    str | None,
    AfterValidator(_due_date),
    Field(
        validation_alias=AliasChoices("due_date", "dueDate", "due_at"),
        description="A date, or a time with or without a zone (ISO 8601); null and an empty text clear it. Read as "
        "dueDate or due_at, too",
    ),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "due-date"}, _NULL]}),
]
"""A due date as it is kept, or None."""

Priority = Annotated[
    str | None,
    AfterValidator(lambda text: _label(text) or MEDIUM),
    Field(description="low, medium, high, urgent, or any text; null and an empty text make it medium"),
    WithJsonSchema({"anyOf": [_LABEL, _NULL]}),
]
"""A priority as it was sent, MEDIUM for none."""

Category = Annotated[
    str | None,
    AfterValidator(_label),
    Field(description="null and an empty text clear it"),
    WithJsonSchema({"anyOf": [_LABEL, _NULL]}),
]
"""A category as it was sent, or None."""

Tags = Annotated[
    tuple[str, ...],
    BeforeValidator(_tags),
    Field(description="An array, or one text with commas; trimmed, without repeats; null and an empty one clear them"),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _LABEL, "maxItems": MOST_TAGS}, _TEXT, _NULL]}),
]
"""Tags as they are kept."""

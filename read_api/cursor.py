"""Cursors: the place in a sorted list after which the next page begins, as opaque URL-safe text."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

from read_model.filters import NO_FILTERS, Filters
from read_model.opaque import opaque_text, values_of
from read_model.sorts import SORTS, Key, Place, is_bigint

Status: TypeAlias = Literal["all", "pending", "completed"]


class CursorError(ValueError):
    """A text that is no cursor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """The last task of a page: its sort key and id, and the list that it belongs to.

    `sort` is one of SORTS; `filters` is a digest of the list's filters, empty without them; `as_of` is the position
    that a list of the past shows.
    """

    sort: str
    status: Status
    key: Key
    id: int
    as_of: int | None = None
    filters: str = ""

    @property
    def place(self) -> Place:
        """Return the task's place in the list."""
        return self.key, self.id


def filters_digest(filters: Filters) -> str:
    """Return what cursors hold of filters."""
    return "" if filters == NO_FILTERS else blake2b(repr(filters).encode(), digest_size=6).hexdigest()


def encode(cursor: Cursor) -> str:
    """Return the cursor as text of the URL-safe base64 alphabet, without padding."""
    fields: list[object] = [cursor.sort, cursor.status, cursor.key, cursor.id]
    if cursor.filters:
        fields += [cursor.as_of, cursor.filters]
    elif cursor.as_of is not None:
        fields.append(cursor.as_of)
    return opaque_text(fields)


def decode(text: str) -> Cursor:
    """Return the cursor that `text` encodes.

    Raises:
        CursorError: `text` is not exactly what `encode` gives.
    """
    try:
        fields = values_of(text)
    except ValueError:
        raise CursorError from None
    match fields:
        case [str(sort), ("all" | "pending" | "completed") as status, key, int(number), *rest] if sort in SORTS:
            as_of, filters = (*rest, None, None)[:2]
            cursor = Cursor(sort=sort, status=status, key=key, id=number, as_of=as_of, filters=filters or "")
        case _:
            raise CursorError
    if not _fits(cursor) or encode(cursor) != text:
        raise CursorError
    return cursor


def _fits(cursor: Cursor) -> bool:
    """Return whether the key, the id and the position have types that the database accepts."""
    return (
        is_bigint(cursor.id)
        and isinstance(cursor.filters, str)
        and (cursor.as_of is None or is_bigint(cursor.as_of))
        and SORTS[cursor.sort].is_key(cursor.key)
    )

"""A cursor: the place in a sorted list after which the next page begins, as opaque URL-safe text."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import orjson

Status: TypeAlias = Literal["all", "pending", "completed"]
Sort: TypeAlias = Literal["created", "title"]

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{1,2048}")
_KEY_LENGTH: Final = 200
_BIGINT: Final = 2**63


class CursorError(ValueError):
    """Text that no cursor encodes to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """The last task of a page: its sort key and id, and the list that it belongs to.

    `key` is the position of the task's first event when sorted by `created`, the title key when by `title`.
    """

    sort: Sort
    status: Status
    key: int | str
    id: int


def encode(cursor: Cursor) -> str:
    """The cursor as text of the URL-safe base64 alphabet, without padding."""
    packed = orjson.dumps([cursor.sort, cursor.status, cursor.key, cursor.id])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(text: str) -> Cursor:
    """The cursor that `text` encodes.

    Raises:
        CursorError: `text` is not what `encode` gives, to the letter.
    """
    if not _TEXT.fullmatch(text):
        raise CursorError
    try:
        fields = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        raise CursorError from None
    match fields:
        case [("created" | "title") as sort, ("all" | "pending" | "completed") as status, key, int(number)]:
            cursor = Cursor(sort=sort, status=status, key=key, id=number)
        case _:
            raise CursorError
    if not _fits(cursor) or encode(cursor) != text:
        raise CursorError
    return cursor


def _fits(cursor: Cursor) -> bool:
    """Whether the database can take the key and the id for what they are."""
    if isinstance(cursor.id, bool) or not 0 < cursor.id < _BIGINT:
        return False
    if cursor.sort == "created":
        return isinstance(cursor.key, int) and not isinstance(cursor.key, bool) and 0 < cursor.key < _BIGINT
    return isinstance(cursor.key, str) and len(cursor.key) <= _KEY_LENGTH and "\0" not in cursor.key

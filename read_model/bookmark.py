"""Bookmarks: up to where a client has seen a user's changes. On the wire a bookmark is called `token`, and opaque.

It also names the history, its rows and the form of the tasks, so that nobody goes on from something else: after a
restore, a repair of rows or an upgrade the same position means other tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from read_model.formats import BODY_FORMAT
from read_model.opaque import opaque_text, values_of
from read_model.sorts import is_bigint

_LAST_POSITION: Final = 2**62
"""No stream is so long, and the database can still add to it."""
HASH_PREFIX_DIGITS: Final = 12
"""The length of a hash prefix, in hex digits, as tasklog.mark returns it."""


class UnknownBookmarkError(ValueError):
    """A bookmark that is none, or is of another history, other rows or another form of tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bookmark:
    """A position of a user's stream, with its event's hash prefix.

    `repair` is the time of the last repair of the user's rows, "" if there was none, None where that is not known. With
    `after` the client has only seen a part of the tasks: those up to this one, in the order of the list; its first
    position and id.
    """

    position: int
    hash_prefix: str
    repair: str | None = ""
    after: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return the bookmark as text of the URL-safe base64 alphabet."""
        fields = [BODY_FORMAT, self.position, self.hash_prefix, self.repair, *(self.after or ())]
        return opaque_text(fields)

    def is_of(self, hash_prefix: str | None, repair: str) -> bool:
        """Return whether the event at the position has this hash prefix now, and this was the last repair."""
        return self.hash_prefix == (hash_prefix or "") and self.repair in (None, repair)


def read_bookmark(text: str) -> Bookmark:
    """Return the bookmark that `text` stands for.

    Raises:
        UnknownBookmarkError: this version writes no such text.
    """
    try:
        fields = values_of(text)
    except ValueError:
        raise UnknownBookmarkError from None
    match fields:
        case [str(form), int(position), str(prefix), (str() | None) as repair, *after] if form == BODY_FORMAT:
            place = _place(after)
            bookmark = Bookmark(position=position, hash_prefix=prefix, repair=repair, after=place)
        case _:
            raise UnknownBookmarkError
    if type(position) is not int or not 0 <= position <= _LAST_POSITION or str(bookmark) != text:
        raise UnknownBookmarkError
    return bookmark


def _place(after: list[object]) -> tuple[int, int] | None:
    match after:
        case []:
            return None
        case [int(first), int(task_id)] if is_bigint(first) and is_bigint(task_id):
            return first, task_id
        case _:
            raise UnknownBookmarkError


def bookmark_after_write(position: int, event_hash: str) -> str:
    """Return the text of the bookmark after a write that led to `position`, whose event has this hash in hex."""
    prefix = event_hash[:HASH_PREFIX_DIGITS] if position else ""
    return str(Bookmark(position=position, hash_prefix=prefix, repair=None))

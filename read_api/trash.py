"""The trash: a user's deleted tasks, newest deletion first, from the ledger alone, so that it is never stale.

An index finds the deletions, and a few events give each task, however long its history is. Memory holds one part.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.task import DeletedTask
from event_log.append import Fetching
from event_log.elsewhere import check_here
from event_log.long_texts import parts, whole
from read_api.cursor import CursorError
from read_api.long_lists import PART_BYTES, TEXTS, size_of, tasks_at
from read_api.queries import Head
from read_model.body import deleted_body
from read_model.opaque import opaque_text, values_of
from read_model.sorts import is_bigint

TRASH: Final = """
    SELECT t.*, CASE WHEN t.head IS NULL THEN tasklog.elsewhere($1) END AS elsewhere FROM tasklog.trash($1, $2, $3) t
"""

_AT_ONCE: Final = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class TrashQuery:
    """Which deleted tasks: at most `limit`, deleted before position `before`; None for no bound."""

    limit: int | None = None
    before: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trash:
    """A page of a user's deleted tasks at `head`: their ids in order; `total` and `next` are only set for a page."""

    user_id: str
    head: Head
    ids: array[int]
    total: int | None
    next: int | None

    @property
    def is_short(self) -> bool:
        """Whether it is read in one statement, so that its JSON may be put together before it is sent."""
        return len(self.ids) <= _AT_ONCE

    async def parts(self, database: Fetching) -> AsyncIterator[bytes]:
        """Yield the JSON array, part by part.

        Raises:
            HistoryError, UnreadableEventError: an event of a task is impossible or unreadable.
            UnavailableError: the database cannot answer.
        """
        before = b"["
        for start in range(0, len(self.ids), _AT_ONCE):
            ids = self.ids[start : start + _AT_ONCE].tolist()
            states = await tasks_at(database, self.user_id, ids, self.head.position)
            # A task that was erased meanwhile is no longer in the trash.
            deleted = [
                state for state in map(states.get, ids) if isinstance(state, DeletedTask) and not state.is_erased
            ]
            for part in parts(((state, size_of(state.task)) for state in deleted), PART_BYTES):
                yield before + b",".join(await self._bodies(database, part))
                before = b","
        yield b"]" if before == b"," else b"[]"

    async def _bodies(self, database: Fetching, deleted: Sequence[DeletedTask]) -> list[bytes]:
        found = await whole(database, [(self.user_id, state.task) for state in deleted], TEXTS)
        return [
            deleted_body(self.user_id, DeletedTask(task=task, deleted_at=state.deleted_at, version=state.version))
            for task, state in zip(found, deleted, strict=True)
        ]


async def trash(database: Fetching, user_id: str, query: TrashQuery) -> Trash:
    """Return which deleted tasks a user's trash has, after every acknowledged command.

    Raises:
        UnavailableError: the database cannot answer.
    """
    (row,) = await database.fetch(TRASH, user_id, query.before, query.limit)
    check_here(row["elsewhere"])
    ids, positions = row["ids"] or [], row["positions"] or []
    more = query.limit is not None and len(ids) > query.limit
    return Trash(
        user_id=user_id,
        head=Head(row["head"] or 0, row["mark"] or ""),
        ids=array("q", ids[: query.limit]),
        total=row["total"],
        next=positions[: query.limit][-1] if more else None,
    )


def encode(before: int) -> str:
    """Return the cursor of the page of what was deleted before a position, as URL-safe text."""
    return opaque_text(["trash", before])


def decode(text: str) -> int:
    """Return the position of a cursor.

    Raises:
        CursorError: `text` is not exactly what `encode` gives.
    """
    try:
        fields = values_of(text)
    except ValueError:
        raise CursorError from None
    match fields:
        case ["trash", int(before)] if is_bigint(before) and encode(before) == text:
            return before
    raise CursorError

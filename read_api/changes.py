"""What changed in a user's tasks since a bookmark: each task once, as it is after every acknowledged command.

Its cost grows with the changes, not with the length of the history: the events after the bookmark are read, and the
tasks that they change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from domain.evolve import HistoryError
from event_log.append import Fetching
from event_log.codec import UnreadableEventError
from event_log.elsewhere import ArrivingError, ElsewhereError, check_here
from read_api.long_lists import task_at
from read_api.queries import Head, TaskPage, changed_tasks
from read_model.body import task_body
from read_model.bookmark import Bookmark, UnknownBookmarkError
from read_model.formats import ROW_FORMAT

CHANGES: Final = f"""
    -- One row for each user $1 and position $2 with at most $3 tasks; $4 and $5 limit events and bytes of each.
    SELECT changes.*, CASE WHEN changes.head = 0 THEN tasklog.elsewhere(asked.user_id) END AS elsewhere
    FROM unnest($1::text[], $2::bigint[], $3::integer[])
        WITH ORDINALITY AS asked (user_id, since, at_most, n)
    CROSS JOIN LATERAL tasklog.changes(asked.user_id, asked.since, asked.at_most, $4, $5, '{ROW_FORMAT}') AS changes
    ORDER BY asked.n
"""
SPAN_EVENTS: Final = 10_000
"""How many events one answer looks at; if more were written since the bookmark, they come with the next answers."""
TOGETHER_BYTES: Final = 128 * 1024
ALONE_BYTES: Final = 1024 * 1024
"""How many bytes of tasks one answer holds, read together with others or alone; a single longer task is allowed."""

_Key: TypeAlias = tuple[str, Bookmark, int]
"""A user's id, the bookmark that the user asks with, and the most tasks of the answer."""


class TooMuchError(Exception):
    """There is too much to be read together with other users' changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """The tasks that changed and those that were deleted, as JSON without brackets, and the bookmark after them.

    `parts` replaces `tasks` if these are long: a JSON array, part by part. `head` is the user's head at that moment.
    """

    bookmark: Bookmark
    more: bool
    head: Head
    tasks: bytes = b""
    parts: AsyncIterator[bytes] | None = None
    deleted: bytes = b""

    @property
    def is_empty(self) -> bool:
        """Return whether nothing changed, and nothing more follows."""
        return not (self.tasks or self.deleted or self.more or self.parts)

    @property
    def body(self) -> bytes:
        """Return the answer as JSON, if it has no parts."""
        return b"%b[%b]%b" % (self._beginning(), self.tasks, self._end())

    async def body_in_parts(self) -> AsyncIterator[bytes]:
        """Yield the answer as JSON, part by part; raises what reading the tasks raises."""
        assert self.parts is not None
        yield self._beginning()
        async for part in self.parts:
            yield part
        yield self._end()

    def _beginning(self) -> bytes:
        return beginning(self.bookmark, more=self.more)

    def _end(self) -> bytes:
        return b',"deleted":[%b]}' % self.deleted


def beginning(bookmark: Bookmark, *, more: bool) -> bytes:
    """Return the JSON of an answer up to its tasks."""
    said = b"true" if more else b"false"
    return b'{"token":"%b","position":%d,"more":%b,"tasks":' % (str(bookmark).encode(), bookmark.position, said)


def bookmark_of(head: Head) -> Bookmark:
    """Return the bookmark of a client that has seen everything up to a head."""
    prefix, _, repair = head.revision.partition(".")
    return Bookmark(position=head.position, hash_prefix=prefix, repair=repair)


def next_page(start: Bookmark, page: TaskPage) -> Changes:
    """Return a page of a walk over all tasks that began at `start`.

    The walk ends with the bookmark `start`: what changed during the walk comes after it. Tasks that are created
    meanwhile come before the page's place in the list, so the walk never gives one that it would then not see deleted.
    """
    place = None if page.next is None else (int(page.next.key), page.next.id)
    return Changes(
        bookmark=replace(start, after=place),
        more=place is not None or page.head.position > start.position,
        head=page.head,
        tasks=page.body[1:-1],
        parts=page.parts,
    )


async def changes(database: Fetching, asked: Sequence[_Key]) -> list[Changes | Exception]:
    """Return what changed since each bookmark.

    An error is the value of its answer only, since the others may be other users': UnknownBookmarkError, TooMuchError,
    ElsewhereError and ArrivingError, or HistoryError and UnreadableEventError for an event that is not projected yet.

    Raises:
        UnavailableError: the database cannot answer.
    """
    rows = await _rows(database, asked, TOGETHER_BYTES)
    return [_answer(row, key) for row, key in zip(rows, asked, strict=True)]


async def changes_alone(database: Fetching, key: _Key) -> Changes:
    """Return what changed since a bookmark, however long the tasks are; raises what `changes` returns."""
    user_id, since, _ = key
    (row,) = await _rows(database, [key], ALONE_BYTES)
    check_here(row["elsewhere"])
    found = _found(row, user_id)
    if (task_id := _missing(row, found)) is not None:
        task = await task_at(database, user_id, task_id, row["head"])
        assert task is not None
        found[task_id] = task.body
    _check(row, since)
    return _changes(row, found)


async def _rows(database: Fetching, asked: Sequence[_Key], room: int) -> Sequence[Mapping[str, Any]]:
    users, bookmarks, limits = zip(*asked, strict=True)
    positions = [bookmark.position for bookmark in bookmarks]
    return await database.fetch(CHANGES, list(users), positions, list(limits), SPAN_EVENTS, room)


def _answer(row: Mapping[str, Any], key: _Key) -> Changes | Exception:
    user_id, since, at_most = key
    try:
        check_here(row["elsewhere"])
        _check(row, since)
        found = _found(row, user_id)
        if _missing(row, found) is not None or _is_cut(row, since, at_most):
            return TooMuchError()
        return _changes(row, found)
    except (UnknownBookmarkError, HistoryError, UnreadableEventError, ElsewhereError, ArrivingError) as error:
        return error


def _check(row: Mapping[str, Any], since: Bookmark) -> None:
    """Refuse a bookmark of another history or other rows, and one from before an erasure.

    Raises:
        UnknownBookmarkError: it is one.
    """
    repair = (row["mark"] or "").partition(".")[2]
    is_known = since.position >= row["erased"] and since.is_of(row["since_mark"], repair)
    if not is_known:
        raise UnknownBookmarkError


def _found(row: Mapping[str, Any], user_id: str) -> dict[int, bytes]:
    """Return the JSON of the changed tasks by id: from their rows, or folded."""
    ids: Sequence[int] = row["ids"] or ()
    found = {task_id: body.encode() for task_id, body in zip(ids, row["bodies"] or (), strict=True) if body is not None}
    return found | {task.id: task_body(user_id, task) for task in changed_tasks(row)}


def _missing(row: Mapping[str, Any], found: Mapping[int, bytes]) -> int | None:
    """Return the id of the first task if it is too long, otherwise None."""
    changed = zip(row["ids"] or (), row["versions"] or (), strict=True)
    return next((task_id for task_id, version in changed if version is not None and task_id not in found), None)


def _is_cut(row: Mapping[str, Any], since: Bookmark, at_most: int) -> bool:
    """Return whether there are more changes than the bytes allow."""
    ended = row["reached"] in (row["head"], since.position + SPAN_EVENTS)
    return not ended and len(row["ids"]) < at_most


def _changes(row: Mapping[str, Any], found: Mapping[int, bytes]) -> Changes:
    head = Head(row["head"], row["mark"] or "")
    changed = list(zip(row["ids"] or (), row["versions"] or (), strict=True))
    return Changes(
        bookmark=Bookmark(
            position=row["reached"],
            hash_prefix=row["reached_mark"] or "",
            repair=head.revision.partition(".")[2],
        ),
        more=row["reached"] < row["head"],
        head=head,
        tasks=b",".join([found[task_id] for task_id, version in changed if version is not None]),
        deleted=",".join([str(task_id) for task_id, version in changed if version is None]).encode(),
    )

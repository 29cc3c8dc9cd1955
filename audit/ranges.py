"""Walk all streams in ranges of users, each small enough for memory and read in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from event_log.chain import SCAN_RANGE, SCAN_USER
from event_log.long_texts import with_data
from projector.statements import IN_FORMAT, ROWS_WHERE
from runtime.database import Complete, Database, chunks

RANGE_EVENTS: Final = 50_000
"""About how many events a range has; a user is never split."""

STREAMS: Final = f"""
    -- The streams from user $1 on until they have about $2 events, or only the stream of user $3.
    SELECT s.user_id, s.head, encode(s.hash, 'hex') AS hash, coalesce(c.position, 0) AS projected,
           coalesce(to_char(s.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'no time')
           AS recorded_at, s.unprojected_since IS NOT NULL AS marked, {IN_FORMAT} OR c.user_id IS NULL AS in_format,
           CASE WHEN {IN_FORMAT} THEN c.task_count END AS task_count,
           CASE WHEN {IN_FORMAT} THEN c.completed_count END AS completed_count
    FROM (SELECT *, sum(head) OVER (ORDER BY user_id) - head AS before FROM (
              SELECT * FROM tasklog.streams WHERE user_id >= $1 AND ($3::text IS NULL OR user_id = $3)
              ORDER BY user_id LIMIT 5000) AS next) AS s
    LEFT JOIN tasklog.checkpoints c USING (user_id)
    WHERE s.before < $2 ORDER BY s.user_id
"""

CLOSED: Final = """
    -- The ends of streams that left, or are arriving: of users from $1 to $2, or only of user $3.
    SELECT user_id, position, encode(hash, 'hex') AS hash FROM (
        SELECT user_id, position, hash FROM tasklog.departures
        UNION ALL SELECT user_id, position, hash FROM tasklog.arrivals WHERE opened_at IS NULL) AS closed
    WHERE user_id >= $1 AND user_id <= $2 AND ($3::text IS NULL OR user_id = $3)
"""

ROWS_RANGE: Final = ROWS_WHERE + "user_id >= $1 AND user_id <= $2"
ROWS_USER: Final = ROWS_WHERE + "user_id = $1"

LAST: Final = "\U0010ffff" * 676
"""A text after every user id in order: it takes 2,704 bytes, more than any Postgres index entry can."""

_NEXT: Final = "\x01"
"""Appended to a text, it gives the next text in byte order, as Postgres's texts hold no NUL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """A stream's recorded head, its projected position, and whether it is marked as work for the projector.

    `in_format` tells whether its rows are in this version's format. The counts are those that the projector keeps of
    all tasks and of the completed ones; None if it has to count them anew.
    """

    user_id: str
    head: int
    hash: str
    projected: int
    recorded_at: str
    marked: bool
    in_format: bool
    task_count: int | None
    completed_count: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Some streams in one snapshot, with all other rows of `user_id`, or of the users in the range.

    `closed` holds the last positions and hashes of streams that left, or are arriving.
    """

    streams: list[Stream]
    closed: Mapping[str, tuple[int, str]]
    connection: Any
    user_id: str | None
    first: str
    last: str

    def events(self) -> AsyncIterator[list[Any]]:
        """Return the events, in chunks; see event_log.chain."""
        return self._read(SCAN_USER, SCAN_RANGE, complete=with_data)

    def rows(self) -> AsyncIterator[list[Any]]:
        """Return the projected rows, in chunks; the texts of long rows are left out."""
        return self._read(ROWS_USER, ROWS_RANGE)

    def _read(self, of_user: str, of_range: str, complete: Complete | None = None) -> AsyncIterator[list[Any]]:
        if self.user_id is not None:
            return chunks(self.connection, of_user, self.user_id, complete=complete)
        return chunks(self.connection, of_range, self.first, self.last, complete=complete)


async def ranges(database: Database, user_id: str | None = None) -> AsyncGenerator[Range, None]:
    """Yield all streams, or that of `user_id`; each range is one snapshot, valid until the next is requested."""
    first, last = "", ""
    while last != LAST:
        async with database.transaction(snapshot=True) as connection:
            found = await connection.fetch(STREAMS, first, RANGE_EVENTS, user_id)
            streams = [Stream(**row) for row in found]
            last = streams[-1].user_id if streams and user_id is None else LAST
            ends = await connection.fetch(CLOSED, first, last, user_id)
            closed = {row["user_id"]: (row["position"], row["hash"]) for row in ends}
            yield Range(streams=streams, closed=closed, connection=connection, user_id=user_id, first=first, last=last)
        first = last + _NEXT

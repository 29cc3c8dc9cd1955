"""A user's events as they are stored: all that goes into the hash chain, for clients that compute it themselves.

The history also shows what each event changed, which takes look-ups in earlier events. Here Postgres writes the page as
it is sent, so that a client may read a whole history at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from event_log.append import Fetching
from event_log.chain import GENESIS
from event_log.elsewhere import check_here
from read_api.queries import Head
from read_model.bookmark import HASH_PREFIX_DIGITS

STORED_EVENTS: Final = """
    SELECT e.*, CASE WHEN e.head IS NULL THEN tasklog.elsewhere($1) END AS elsewhere
    FROM tasklog.stored_events($1, $2, $3) e
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsQuery:
    """Which events: at most `limit` after position `after`."""

    after: int
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsPage:
    """A page as JSON, the stream's head, and the position after which the next page begins, if there is one."""

    body: bytes
    head: Head
    next: int | None


async def stored_events(database: Fetching, user_id: str, query: EventsQuery) -> EventsPage:
    """Return a page of a user's events. It may be shorter than its limit, as it holds 2 MiB at most.

    Raises:
        UnavailableError: the database cannot answer.
    """
    (row,) = await database.fetch(STORED_EVENTS, user_id, query.after, query.limit)
    check_here(row["elsewhere"])
    position, digest, last = row["head"] or 0, row["head_hash"] or GENESIS, row["last"]
    following = last if last is not None and last < position else None
    body = b'{"user_id":%b,"head":{"position":%d,"hash":"%b"},"events":[%b],"next":%b}' % (
        orjson.dumps(user_id),
        position,
        digest.encode(),
        (row["page"] or "").encode(),
        orjson.dumps(following),
    )
    head = Head(position, (row["head_hash"] or "")[:HASH_PREFIX_DIGITS])
    return EventsPage(body=body, head=head, next=following)

"""How far the projection is behind, read from marked streams alone: the cost does not grow with the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from runtime.database import Database

LATE_SECONDS: Final = 30
"""A projector is late when an event of a user who is not parked has waited for longer, in seconds."""

WAITING_SINCE: Final = """
    CASE WHEN s.head > coalesce(c.position, 0) THEN greatest(s.unprojected_since, (
        SELECT e.recorded_at FROM tasklog.events e
        WHERE e.user_id = s.user_id AND e.position = coalesce(c.position, 0) + 1)) END"""
"""Since when the first unprojected event of a marked stream `s` with checkpoint `c` waits; null if there is none.

The mark may be older, as it stays for up to a second, and the event too, as it may be imported.
"""

_LATE: Final = f"""
    -- Whether an event of a user who is not parked has waited for more than {LATE_SECONDS} s.
    SELECT EXISTS (
        SELECT FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
        WHERE s.unprojected_since < now() - interval '{LATE_SECONDS} s' AND c.parked_until IS NULL
          AND {WAITING_SINCE} < now() - interval '{LATE_SECONDS} s')
"""  # noqa: S608 - a constant of the code

_LAG: Final = f"""
    -- What waits for the projector, and for how many seconds; parked users are counted apart.
    SELECT coalesce(sum(greatest(s.head - coalesce(c.position, 0), 0)) FILTER (WHERE c.parked_until IS NULL), 0)::bigint
               AS events,
           coalesce(extract(epoch FROM clock_timestamp() - min(waiting.since) FILTER (WHERE c.parked_until IS NULL)), 0)
               ::float AS seconds,
           count(*) FILTER (WHERE c.parked_until IS NOT NULL) AS parked_users
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
    CROSS JOIN LATERAL (SELECT {WAITING_SINCE} AS since) AS waiting
    WHERE s.unprojected_since IS NOT NULL
"""  # noqa: S608 - a constant of the code


class Lag(NamedTuple):
    """Events that wait, how long the oldest has waited, in seconds, and users that are parked."""

    events: int
    seconds: float
    parked_users: int


async def lag(database: Database) -> Lag:
    """Return what waits for the projector.

    Raises:
        UnavailableError: the database went away.
    """
    (row,) = await database.fetch(_LAG)
    return Lag(*row)


async def late_reason(database: Database) -> str | None:
    """Return why the projection is late, in one sentence, or None if no event has waited for over `LATE_SECONDS`.

    Raises:
        UnavailableError: the database went away.
    """
    ((late,),) = await database.fetch(_LATE)
    return f"An event has waited for more than {LATE_SECONDS} s for its projection." if late else None

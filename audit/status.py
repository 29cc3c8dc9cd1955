"""Status: how large the ledger is, how far the projection is behind it, who is parked, which jobs run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.database import Database
from runtime.schema import INSTALLED, read

_NUMBERS: Final = """
    -- Sums over all streams; the lag leaves out parked users, who wait for a person.
    SELECT count(*) AS streams, coalesce(sum(s.head), 0)::bigint AS events,
           -- Postgres's estimate; before there is one, they are counted.
           (SELECT CASE WHEN reltuples > 0 THEN reltuples::bigint ELSE (SELECT count(*) FROM tasklog.tasks) END
            FROM pg_class WHERE oid = 'tasklog.tasks'::regclass) AS tasks_about,
           coalesce(sum(s.head - coalesce(c.position, 0))
                    FILTER (WHERE c.parked_until IS NULL), 0)::bigint AS lag_events,
           coalesce(extract(epoch FROM clock_timestamp()
                    - min(s.unprojected_since) FILTER (WHERE c.parked_until IS NULL)), 0)::float AS lag_seconds,
           count(*) FILTER (WHERE c.parked_until IS NOT NULL) AS parked_users,
           count(*) FILTER (WHERE c.rebuild) AS users_to_rebuild
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
"""
_PARKED: Final = """
    -- Parked users, those that wait longest first.
    SELECT user_id, position + 1 AS position, attempts, parked_until, error FROM tasklog.checkpoints
    WHERE parked_until IS NOT NULL ORDER BY attempts DESC, user_id LIMIT 20
"""
_EVENTS: Final = """
    -- How many events a user has, or all users together for null.
    SELECT coalesce(sum(head), 0)::bigint FROM tasklog.streams WHERE ($1::text IS NULL OR user_id = $1)
"""
_BEHIND: Final = """
    -- How many events of a user, or of all users for null, are not projected.
    SELECT coalesce(sum(greatest(s.head - coalesce(c.position, 0), 0)), 0)::bigint
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
    WHERE ($1::text IS NULL OR s.user_id = $1)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """A user whose event at `position` cannot be projected."""

    user_id: str
    position: int
    attempts: int
    next_attempt: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The ledger in numbers; `lag_seconds` is how long the stream that waits longest was not worked on."""

    streams: int
    events: int
    tasks_about: int
    lag_events: int
    lag_seconds: float
    parked_users: int
    users_to_rebuild: int
    schema: str
    parked: list[Parked]
    jobs: list[Mapping[str, Any]] | None


async def status(database: Database, jobs: list[Mapping[str, Any]] | None) -> Status:
    """Read the status; `jobs` are what is known of the last jobs, None where Redis does not answer.

    Raises:
        UnavailableError: the database went away.
    """
    (numbers,) = await database.fetch(_NUMBERS)
    parked = [
        Parked(
            user_id=row["user_id"],
            position=row["position"],
            attempts=row["attempts"],
            next_attempt=row["parked_until"].isoformat(),
            error=row["error"],
        )
        for row in await database.fetch(_PARKED)
    ]
    installed = read((await database.fetch(INSTALLED))[0]["installed"])
    schema = installed.digest if installed else "none"
    return Status(**numbers, schema=schema, parked=parked, jobs=jobs)


async def event_count(database: Database, user_id: str | None = None) -> int:
    """How many events a user has, or all users together."""
    return int((await database.fetch(_EVENTS, user_id))[0][0])


async def events_behind(database: Database, user_id: str | None = None) -> int:
    """How many events of a user, or of all users together, are not projected yet."""
    return int((await database.fetch(_BEHIND, user_id))[0][0])

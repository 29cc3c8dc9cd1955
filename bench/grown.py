"""A grown ledger: many users with a few tasks, one with a million events, one with 50,000 tasks.

The events are made by SQL, a user's chain by a recursive query with the ledger's own functions, thousands of users in a
statement. `./run verify` finds no fault in them: the benchmark checks that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.ledger import TITLE

if TYPE_CHECKING:
    import asyncpg

_PEOPLE: Final = 5_000
"""Users in a statement."""
_SECONDS: Final = 3600
"""The longest that a statement may take."""

_STREAMS: Final = f"""
    -- Users $1-$2 to $1-$3 with $5 events each, in turn of $6 tasks; the first user's first task has the id $4.
    -- Each task is created, edited, completed, edited, edited, reopened, edited and so on.
    WITH RECURSIVE chain AS (
        SELECT $1 || '-' || lpad(n::text, 7, '0') AS user_id, $4 + (n - $2) * $6 AS first_id, 0::bigint AS position,
               0::bigint AS task_id, 0 AS version, NULL::uuid AS event_id, '' AS type, 0::smallint AS schema_version,
               '' AS data, '' AS metadata, now() - interval '30 days' AS recorded_at,
               decode(repeat('00', 32), 'hex') AS hash
        FROM generate_series($2::bigint, $3::bigint) AS n
        UNION ALL
        SELECT c.user_id, c.first_id, n.position, n.task_id, n.version, e.*,
               tasklog.link(c.hash, c.user_id, n.position, n.task_id, n.version, e.event_id, e.type, e.schema_version,
                            e.recorded_at, tasklog.content_digest(e.metadata, e.data))
        FROM chain c
        CROSS JOIN LATERAL (
            SELECT c.position + 1 AS position, c.first_id + c.position % $6 AS task_id,
                   (c.position / $6 + 1)::integer AS version
        ) AS n
        CROSS JOIN LATERAL (
            SELECT gen_random_uuid() AS event_id,
                   CASE WHEN n.version = 1 THEN 'task.created' WHEN n.version % 6 = 3 THEN 'task.completed'
                        WHEN n.version % 6 = 0 THEN 'task.reopened' ELSE 'task.edited' END AS type,
                   CASE WHEN n.version = 1 THEN 2 ELSE 1 END::smallint AS schema_version,
                   CASE WHEN n.version = 1 THEN '{{"description":null,"title":"{TITLE} ' || n.task_id || '"}}'
                        WHEN n.version % 3 = 0 THEN '{{}}'
                        ELSE '{{"title":"{TITLE} ' || n.version || '"}}' END AS data,
                   '{{"actor":' || to_json(c.user_id) || ',"nonce":"' || replace(gen_random_uuid()::text, '-', '')
                   || '","request_id":"' || replace(gen_random_uuid()::text, '-', '') || '"}}' AS metadata,
                   c.recorded_at + interval '1 second' AS recorded_at
        ) AS e
        WHERE c.position < $5
    ), written AS (
        INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data, metadata,
                                    recorded_at, hash)
        SELECT user_id, position, task_id, version, event_id, type, schema_version, data::json, metadata::json,
               recorded_at, hash
        FROM chain WHERE position > 0 ORDER BY user_id, position
    )
    INSERT INTO tasklog.streams (user_id, head, hash, recorded_at, unprojected_since)
    SELECT user_id, position, hash, recorded_at, clock_timestamp() FROM chain WHERE position = $5 ORDER BY user_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """Users `name`-0000000 and so on: how many, and the events and tasks of each."""

    name: str
    number: int
    events: int
    tasks: int

    def user(self, number: int = 0) -> str:
        """Return the id of one of them."""
        return f"{self.name}-{number:07}"


def people_of(events: int) -> tuple[People, People, People]:
    """Return who is in a ledger of about so many events: many users with 9 each, a long history, many tasks."""
    return (
        People(name="few", number=max(1, events // 10), events=9, tasks=3),
        People(name="long", number=1, events=max(1_000, events // 10), tasks=1_000),
        People(name="many", number=1, events=min(50_000, max(1_000, events // 20)), tasks=50_000),
    )


async def fill(owner: asyncpg.Connection, everybody: Iterable[People]) -> int:
    """Write their events to an empty ledger, as its owner; return the number. The projector does the rest."""
    first_id, written = 1, 0
    for people in everybody:
        for first, last in _parts(people.number):
            arguments = (people.name, first, last, first_id, people.events, people.tasks)
            await owner.execute(_STREAMS, *arguments, timeout=_SECONDS)
            number = last - first + 1
            first_id += number * people.tasks
            written += number * people.events
            await owner.execute("SELECT setval('tasklog.task_ids', $1)", first_id)
    return written


def _parts(number: int) -> Iterator[tuple[int, int]]:
    for first in range(0, number, _PEOPLE):
        yield first, min(first + _PEOPLE, number) - 1

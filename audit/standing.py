"""What verify checks besides streams: the schema, the sequence of task ids, and rows that belong to no stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from event_log.chain import Fault
from event_log.story import LARGEST_TASK_ID, TaskIds
from runtime.catalog import PLAIN_NAMES, differences
from runtime.database import Database

_SEQUENCE: Final = """
    -- The last id given to a task, and the range of ids; before the first task, the id before the range.
    SELECT CASE WHEN t.is_called THEN t.last_value ELSE t.last_value - 1 END AS last, s.seqmin AS first_id,
           s.seqmax AS last_id
    FROM tasklog.task_ids t, pg_sequence s WHERE s.seqrelid = 'tasklog.task_ids'::regclass
"""
_WITHOUT_STREAM: Final = """
    -- Checkpoints that would prevent a user's first events from being projected: of user $1, or all for null.
    SELECT c.user_id, c.position FROM tasklog.checkpoints c
    WHERE c.position > 0 AND ($1::text IS NULL OR c.user_id = $1)
      AND NOT EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = c.user_id)
      AND NOT EXISTS (SELECT FROM tasklog.departures d WHERE d.user_id = c.user_id)
    ORDER BY c.user_id LIMIT 1000
"""
_SCARCE: Final = 100
_KEYS: Final = """
    -- The first idempotency key of each user whose event does not exist: of user $1, or all for null.
    SELECT user_id, task_id, version FROM tasklog.keys_without_event($1)
"""


def schema_fault(reason: str) -> Fault:
    """Return a fault that belongs to no user."""
    return Fault(user_id=None, position=None, reason=reason)


async def schema_faults(database: Database) -> list[Fault]:
    """Return a fault for each object of the schema that differs from what the last migration installed."""
    async with database.transaction(PLAIN_NAMES) as connection:
        return [schema_fault(reason) for reason in await differences(connection)]


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenIds:
    """The range of this ledger's task ids, and the last one that was given."""

    first_id: int
    last_id: int
    last: int

    @property
    def size(self) -> int:
        """Return how many ids the range has."""
        return min(self.last_id, LARGEST_TASK_ID) - self.first_id + 1

    @property
    def left(self) -> int:
        """Return how many ids are left."""
        return min(self.last_id, LARGEST_TASK_ID) - max(self.last, self.first_id - 1)

    @property
    def are_scarce(self) -> bool:
        """Return whether less than a hundredth of the range is left."""
        return self.left * _SCARCE < self.size


async def given_ids(database: Database) -> GivenIds:
    """Return the range of task ids, and how far it is used."""
    return GivenIds(**(await database.fetch(_SEQUENCE))[0])


async def sequence_faults(database: Database, *task_ids: TaskIds) -> list[Fault]:
    """Return a fault if the sequence would give one of these ids again. Those out of its range are from elsewhere."""
    given = await given_ids(database)
    last, highest = given.last, max(ids.highest(given.first_id, given.last_id) for ids in task_ids)
    if last >= highest:
        return []
    reason = f"the sequence task_ids is at {last}, but there is a task {highest}: run ./run migrate"
    return [schema_fault(reason)]


async def orphans(database: Database, user_id: str | None) -> list[Fault]:
    """Return a fault for each user with a checkpoint without a stream, or an idempotency key without its event."""
    faults = [
        Fault(user_id=user, position=1, reason=f"there is a checkpoint at {position}, but no stream: run ./run rebuild")
        for user, position in await database.fetch(_WITHOUT_STREAM, user_id)
    ]
    return faults + [_of_key(*row) for row in await database.fetch(_KEYS, user_id)]


def _of_key(user_id: str, task_id: Any, version: Any) -> Fault:
    reason = f"an idempotency key remembers version {version} of task {task_id}, which is not in the ledger: delete it"
    return Fault(user_id=user_id, position=None, reason=reason)

"""What verify checks besides streams: the schema, the sequence of task ids, and rows that belong to no stream."""

from __future__ import annotations

from typing import Any, Final

from event_log.chain import Fault
from runtime.catalog import PLAIN_NAMES, differences
from runtime.database import Database

_SEQUENCE: Final = """
    -- The last id given to a task, 0 before the first.
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM tasklog.task_ids
"""
_WITHOUT_STREAM: Final = """
    -- Checkpoints that would prevent a user's first events from being projected: of user $1, or all for null.
    SELECT c.user_id, c.position FROM tasklog.checkpoints c
    WHERE c.position > 0 AND ($1::text IS NULL OR c.user_id = $1)
      AND NOT EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = c.user_id)
    ORDER BY c.user_id LIMIT 1000
"""
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


async def sequence_faults(database: Database, highest: int) -> list[Fault]:
    """Return a fault if the sequence would give ids again; `highest` is the highest id of a task."""
    last: int = (await database.fetch(_SEQUENCE))[0][0]
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

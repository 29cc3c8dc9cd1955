"""Rebuild: compare users' rows with a replay of their events, and mend what differs; online.

A user's rows change in one transaction, under the lock of the user's checkpoint: readers see them before or after.
Who is to be rebuilt is marked, so any number of processes share the work, and a killed one loses only its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from event_log.read import TaskKey
from projector.catch_up import write_rows
from projector.project import Row
from projector.replay import Replay
from projector.statements import (
    CLAIM_REBUILD,
    MARK_REBUILD,
    MARK_UNPROJECTED,
    REBUILT,
    REPLAYED,
    ROWS_OF_USERS,
    USERS_TO_REBUILD,
)
from runtime.database import Database, chunks

log = structlog.get_logger()

_EVENTS: Final = 20_000
"""About how many events one transaction replays."""


async def mark(database: Database, user_id: str | None = None) -> int:
    """Mark one user, or all, to be rebuilt; how many. A stream that lost its checkpoint is projected from the start."""
    await database.fetch(MARK_UNPROJECTED, user_id)
    return int((await database.fetch(MARK_REBUILD, user_id))[0][0])


async def left(database: Database) -> int:
    """How many users are still marked."""
    return int((await database.fetch(USERS_TO_REBUILD))[0][0])


async def rebuild(database: Database, progress: Callable[[int], None] = lambda _: None) -> int:
    """Rebuild marked users until none is free to take; the number of events replayed.

    Raises:
        UnavailableError: the database went away; what is marked stays so.
    """
    total, users = 0, 20
    while True:
        taken, events = await rebuild_batch(database, users)
        if not taken:
            return total
        total += events
        progress(events)
        users = max(1, min(2_000, taken * _EVENTS // max(events, 1)))


async def rebuild_batch(database: Database, users: int) -> tuple[int, int]:
    """Rebuild up to `users` marked users in one transaction; how many, and their events."""
    async with database.transaction("synchronous_commit = off") as connection:
        claimed = {row["user_id"]: row["position"] for row in await connection.fetch(CLAIM_REBUILD, users)}
        if not claimed:
            return 0, 0
        replay, events = Replay(until=claimed), 0
        async for rows in chunks(connection, REPLAYED, [*claimed], [*claimed.values()]):
            replay.feed(rows)
            events += len(rows)
        await _mend(connection, claimed, replay)
        await connection.execute(REBUILT, [*claimed])
    return len(claimed), events


async def _mend(connection: Any, claimed: dict[str, int], replay: Replay) -> None:
    """Write the rows that differ from what they must be; a user who cannot be replayed keeps the old ones."""
    wanted: dict[TaskKey, Row] = {key: row for key, row in replay.rows().items() if key[0] not in replay.failed}
    removed: list[TaskKey] = []
    async for rows in chunks(connection, ROWS_OF_USERS, [user for user in claimed if user not in replay.failed]):
        for row in rows:
            key = (row["user_id"], row["id"])
            if key not in wanted:
                removed.append(key)
            elif wanted[key] == tuple(row):
                del wanted[key]
    await write_rows(connection, list(wanted.values()), removed)
    for user_id, (position, error) in replay.failed.items():
        log.error("a user cannot be rebuilt", user_id=user_id, position=position, error=error)
    if wanted or removed:
        log.warning("rows differed from their replay and were mended", written=len(wanted), removed=len(removed))

"""Rebuild: compare users' rows with a replay of their events, and mend what differs; online.

A user's rows change in one transaction, under the lock of the user's checkpoint: readers see them before or after.
Who is to be rebuilt is marked, so any number of processes share the work, and a killed one loses only its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from event_log.read import NoStreamError, TaskKey
from projector.catch_up import write_rows
from projector.project import Row
from projector.replay import Replay
from projector.statements import (
    AWAKEN,
    CLAIM_REBUILD,
    ENROL_ALL,
    GIVE_UP_REBUILD,
    LEFT_TO_REBUILD,
    MARK_REBUILD,
    REBUILT,
    REPLAYED,
    ROWS_OF_USERS,
)
from runtime.database import Database, chunks

log = structlog.get_logger()

_EVENTS: Final = 20_000
"""About how many events one transaction replays."""
_FIRST_USERS: Final = 20
_MOST_USERS: Final = 2_000
_MARKED_AT_ONCE: Final = 10_000


@dataclass(kw_only=True, slots=True)
class Rebuilt:
    """What rebuilding came to; `failed` are the users whose events cannot be replayed: position and reason."""

    users: int = 0
    events: int = 0
    written: int = 0
    removed: int = 0
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, other: Rebuilt) -> None:
        """Count `other` in."""
        self.users += other.users
        self.events += other.events
        self.written += other.written
        self.removed += other.removed
        self.failed |= other.failed

    def next_users(self) -> int:
        """How many users the batch after this one had better take."""
        return max(1, min(_MOST_USERS, self.users * _EVENTS // max(self.events, 1))) if self.users else _FIRST_USERS


async def mark(database: Database, user_id: str | None = None) -> int:
    """Mark one user, or all, to be rebuilt; how many. A checkpoint that was lost begins anew.

    Raises:
        NoStreamError: the user has no stream.
        UnavailableError: the database went away.
    """
    await database.fetch(ENROL_ALL, user_id)
    total, behind = 0, ""
    while True:
        ((marked, last),) = await database.fetch(MARK_REBUILD, user_id, behind, _MARKED_AT_ONCE)
        if not marked:
            break
        await database.fetch(AWAKEN, user_id, behind, last)
        total, behind = total + marked, last
    if user_id is not None and not total:
        raise NoStreamError(user_id)
    return total


async def left(database: Database) -> tuple[int, int]:
    """How many users are still marked, and how many events they have."""
    ((users, events),) = await database.fetch(LEFT_TO_REBUILD)
    return users, events


async def rebuild(database: Database, progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Rebuild marked users until none is free to take.

    Raises:
        UnavailableError: the database went away; what is marked stays so.
    """
    total, batch = Rebuilt(), Rebuilt()
    while (batch := await rebuild_batch(database, batch.next_users())).users:
        total.add(batch)
        progress(batch.events)
    return total


async def rebuild_batch(database: Database, users: int) -> Rebuilt:
    """Rebuild up to `users` marked users in one transaction. Rows that the database refuses fail their user alone."""
    try:
        done = await _rebuild_batch(database, users)
    except asyncpg.PostgresError as error:
        done = await _give_up_first(database, type(error).__name__) if users == 1 else await rebuild_batch(database, 1)
    else:
        for user_id, (position, reason) in done.failed.items():
            log.error("a user cannot be rebuilt", user_id=user_id, position=position, error=reason)
        if done.written or done.removed:
            log.warning("rows differed from their replay and were mended", written=done.written, removed=done.removed)
    return done


async def _give_up_first(database: Database, error: str) -> Rebuilt:
    """Take the mark from the user whose rows the database refused; they were tried alone."""
    done = Rebuilt()
    async with database.transaction() as connection:
        for row in await connection.fetch(CLAIM_REBUILD, 1):
            log.error("a user cannot be rebuilt", user_id=row["user_id"], position=row["position"], error=error)
            done.add(Rebuilt(users=1, failed={row["user_id"]: (row["position"], error)}))
            await connection.execute(GIVE_UP_REBUILD, row["user_id"])
    return done


async def _rebuild_batch(database: Database, users: int) -> Rebuilt:
    async with database.transaction() as connection:
        claimed = {row["user_id"]: row["position"] for row in await connection.fetch(CLAIM_REBUILD, users)}
        done = Rebuilt(users=len(claimed))
        if not claimed:
            return done
        replay = Replay(until=claimed)
        async for rows in chunks(connection, REPLAYED, [*claimed], [*claimed.values()]):
            replay.feed(rows)
            done.events += len(rows)
        done.failed = replay.failed
        mended = await _mend(connection, claimed, replay, done)
        await connection.execute(REBUILT, [*claimed], [*mended])
    return done


async def _mend(connection: Any, claimed: dict[str, int], replay: Replay, done: Rebuilt) -> set[str]:
    """Write the rows that differ from what they must be, and say whose; who cannot be replayed keeps the old ones."""
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
    done.written, done.removed = len(wanted), len(removed)
    return {user_id for user_id, _ in (*wanted, *removed)}

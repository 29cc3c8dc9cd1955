"""Rebuild: compare users' rows with a replay of their events, and correct what differs, while services run.

A user's rows change in one transaction, under the lock of the user's checkpoint, so readers see them before or after
it. Users to rebuild are marked, so any number of processes share the work; a killed process only loses its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from event_log.long_texts import left_out, parts, with_data
from event_log.read import NoStreamError
from projector.catch_up import RefusedError
from projector.rebuild_statements import (
    AWAKEN,
    CLAIM_REBUILD,
    ENROL_ALL,
    FAULTS,
    GIVE_UP_REBUILD,
    LEFT_TO_REBUILD,
    MARK_REBUILD,
    REBUILT,
    REPLAYED,
    ROWS_OF_USERS,
)
from projector.replay import Replay, differences, whole_rows
from projector.row_writes import write_rows
from runtime.database import Database, chunks

log = structlog.get_logger()

_EVENTS: Final = 20_000
"""About how many events one transaction replays."""
_FIRST_USERS: Final = 20
_MOST_USERS: Final = 2_000
"""Users in the first batch, and the most in any batch."""
_MARKED_AT_ONCE: Final = 10_000
"""The number of users that one statement marks for a rebuild."""
_FROZEN: Final = "idle_in_transaction_session_timeout = '60s'"
"""How long a frozen process can keep its users locked. Rendering their rows must take less time than that."""


@dataclass(kw_only=True, slots=True)
class Rebuilt:
    """The result of a rebuild.

    `written` and `removed` count rows that were wrong, `renewed` counts rows that were in another version's format.
    `failed` holds, for users whose events cannot be replayed, position and reason.
    """

    users: int = 0
    events: int = 0
    written: int = 0
    removed: int = 0
    renewed: int = 0
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, other: Rebuilt) -> None:
        """Add the figures of `other`."""
        self.users += other.users
        self.events += other.events
        self.written += other.written
        self.removed += other.removed
        self.renewed += other.renewed
        self.failed |= other.failed

    def next_users(self) -> int:
        """Return how many users the next batch should take, so that it replays about `_EVENTS` events."""
        return max(1, min(_MOST_USERS, self.users * _EVENTS // max(self.events, 1))) if self.users else _FIRST_USERS


async def request_rebuild(database: Database, user_id: str | None = None) -> int:
    """Mark one user, or all, for a rebuild; return how many. Create missing checkpoints.

    Raises:
        NoStreamError: the user has no stream.
        UnavailableError: the database went away.
    """
    await database.fetch(ENROL_ALL, user_id)
    total, first = 0, ""
    while True:
        ((marked, last),) = await database.fetch(MARK_REBUILD, user_id, first, _MARKED_AT_ONCE)
        if not marked:
            break
        await database.fetch(AWAKEN, user_id, first, last)
        total, first = total + marked, last + "\x01"  # the next possible text, as no text in Postgres holds a NUL
    if user_id is not None and not total:
        raise NoStreamError(user_id)
    return total


async def left(database: Database) -> tuple[int, int]:
    """Return how many users still wait for a rebuild, and how many events they have."""
    ((users, events),) = await database.fetch(LEFT_TO_REBUILD)
    return users, events


async def faults(database: Database, user_id: str | None = None) -> dict[str, tuple[int, str]]:
    """Return the users (one or all) that the last rebuild in any process could not replay, with position and reason."""
    rows = await database.fetch(FAULTS, user_id)
    return {row["user_id"]: (row["fault_position"], row["fault_reason"]) for row in rows}


async def rebuild(database: Database, progress: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Rebuild until no marked user is left, except those that another process is rebuilding.

    Raises:
        UnavailableError: the database went away; the marks stay.
    """
    total, batch = Rebuilt(), Rebuilt()
    while (batch := await rebuild_batch(database, batch.next_users())).users:
        total.add(batch)
        progress(batch.events)
    return total


async def rebuild_batch(database: Database, users: int) -> Rebuilt:
    """Rebuild up to `users` marked users in one transaction. If the database refuses rows, only their user fails."""
    try:
        done = await _rebuild_batch(database, users)
    except RefusedError as refused:
        if len(refused.users) > 1:
            return await rebuild_batch(database, 1)
        done = await _give_up(database, refused.users[0], str(refused))
    for user_id, (position, reason) in done.failed.items():
        log.error("a user cannot be rebuilt", user_id=user_id, position=position, error=reason)
    if done.written or done.removed:
        log.warning("rows differed from their replay and were corrected", written=done.written, removed=done.removed)
    if done.renewed:
        log.info("rows in another version's format were rebuilt", rows=done.renewed)
    return done


async def _give_up(database: Database, user_id: str, error: str) -> Rebuilt:
    """End the rebuild of a user whose rows the database refused in a batch of their own."""
    rows = await database.fetch(GIVE_UP_REBUILD, user_id, error)
    return Rebuilt(users=len(rows), failed={row["user_id"]: (row["position"], error) for row in rows})


async def _rebuild_batch(database: Database, users: int) -> Rebuilt:
    claimed: dict[str, int] = {}
    try:
        async with database.transaction(_FROZEN) as connection:
            rows = await connection.fetch(CLAIM_REBUILD, users)
            claimed |= {row["user_id"]: row["position"] for row in rows}
            others = {row["user_id"] for row in rows if not row["in_format"]}
            return await _replay(connection, claimed, others) if claimed else Rebuilt()
    except asyncpg.PostgresError as error:
        if not claimed:
            raise
        raise RefusedError([*claimed], type(error).__name__) from error


async def _replay(connection: Any, claimed: dict[str, int], others: set[str]) -> Rebuilt:
    """Replay the claimed users; the rows of `others` are in another format, so a difference is no fault."""
    done, replay = Rebuilt(users=len(claimed)), Replay(until=claimed)
    async for rows in chunks(connection, REPLAYED, [*claimed], [*claimed.values()], complete=with_data):
        replay.feed(rows)
        done.events += len(rows)
    done.failed = replay.failed
    mended = await _mend(connection, claimed, others, replay, done)
    positions, reasons = zip(*(done.failed.get(user_id, (None, None)) for user_id in claimed), strict=True)
    await connection.execute(REBUILT, [*claimed], [*mended], positions, reasons)
    return done


async def _mend(connection: Any, claimed: dict[str, int], others: set[str], replay: Replay, done: Rebuilt) -> set[str]:
    """Write the rows that differ from the replay; return the users whose rows were wrong.

    Users that cannot be replayed keep their rows.
    """
    expected = {key: task for key, task in replay.tasks().items() if key[0] not in replay.failed}
    stored = chunks(connection, ROWS_OF_USERS, [user for user in claimed if user not in replay.failed])
    found = [difference async for difference in differences(connection, expected, stored)]
    removed = [difference.key for difference in found if difference.task is None]
    wanted = [(difference.key, difference.task) for difference in found if difference.task is not None]
    for part in parts((item, sum(text.size for text in left_out(item[1]))) for item in wanted):
        await write_rows(connection, await whole_rows(connection, part), [])
    await write_rows(connection, [], removed)
    wrong = [difference for difference in found if difference.key[0] not in others]
    done.removed = sum(difference.task is None for difference in wrong)
    done.written, done.renewed = len(wrong) - done.removed, len(found) - len(wrong)
    return {difference.key[0] for difference in wrong}

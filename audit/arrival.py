"""A user's stream arrives from another ledger: refused if the user is here, closed until it is complete, then opened.

A move (audit/move.py) and an import into a ledger that is in use share this. Task ids stay, so none may be there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from audit.standing import given_ids
from runtime.database import Database

_LOCK_NAME: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""The lock that a user's first append takes, too: see tasklog.take_head."""
_KNOWN: Final = """
    -- What the ledger knows of user $1: a stream, rows although the user is neither arriving nor gone, a departure.
    SELECT EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = $1) AS is_here,
           d.user_id IS NULL AND NOT EXISTS (SELECT FROM tasklog.arrivals a WHERE a.user_id = $1)
           AND (EXISTS (SELECT FROM tasklog.events e WHERE e.user_id = $1)
                OR EXISTS (SELECT FROM tasklog.tasks t WHERE t.user_id = $1)) AS is_damaged,
           d.cell, d.position, d.hash
    FROM (VALUES (0)) AS one LEFT JOIN tasklog.departures d ON d.user_id = $1
"""
_REMNANTS: Final = ("checkpoints", "tasks", "idempotency_keys", "events", "arrivals", "arrived_tasks")
"""What may be left of a user who is not here, in an order that waits for a projector first."""
_HASH_AT: Final = "SELECT hash FROM tasklog.events WHERE user_id = $1 AND position = $2"
_RESERVE: Final = """
    -- Let no new task get an id up to $1. The ALTER before it has waited for every id that was already taken.
    SELECT setval('tasklog.task_ids', $1) FROM tasklog.task_ids WHERE last_value - (NOT is_called)::integer < $1
"""
_TAKEN: Final = """
    -- The first of the tasks $2 of users $1 whose id a task of somebody else has. This reads all events.
    SELECT new.user_id AS of, e.task_id, e.user_id
    FROM unnest($1::text[], $2::bigint[]) AS new (user_id, task_id) JOIN tasklog.events e USING (task_id)
    WHERE e.version = 1 AND e.user_id <> new.user_id ORDER BY 2 LIMIT 1
"""
_TAKEN_BY_ARRIVALS: Final = """
    -- The same, among tasks that came from other ledgers.
    SELECT new.user_id AS of, a.task_id, a.user_id
    FROM unnest($1::text[], $2::bigint[]) AS new (user_id, task_id) JOIN tasklog.arrived_tasks a USING (task_id)
    WHERE a.user_id <> new.user_id ORDER BY 2 LIMIT 1
"""
_NOTE_IDS: Final = "INSERT INTO tasklog.arrived_tasks (user_id, task_id) SELECT * FROM unnest($1::text[], $2::bigint[])"
_NOTE: Final = """
    INSERT INTO tasklog.arrivals (user_id, position, hash, mended_at) VALUES ($1, $2, $3, $4)
"""
_OPEN: Final = """
    -- Open the stream of user $1, which ends at position $2 with hash $3.
    WITH arrival AS (
        UPDATE tasklog.arrivals a SET opened_at = clock_timestamp()
        WHERE a.user_id = $1 AND a.position = $2 AND a.hash = $3 AND a.opened_at IS NULL
        RETURNING a.user_id, a.mended_at
    ), departure AS (
        DELETE FROM tasklog.departures d USING arrival WHERE d.user_id = arrival.user_id
    ), mended AS (
        -- The time of a repair belongs to the tokens of clients, so it comes along.
        INSERT INTO tasklog.checkpoints (user_id, position, mended_at, row_format, task_count, completed_count)
        SELECT user_id, 0, mended_at, tasklog.format_at(tasklog.row_format(), 0, mended_at), 0, 0 FROM arrival
        WHERE mended_at IS NOT NULL
    )
    INSERT INTO tasklog.streams (user_id, head, hash, recorded_at, unprojected_since)
    SELECT e.user_id, e.position, e.hash, e.recorded_at, clock_timestamp()
    FROM arrival JOIN tasklog.events e ON e.user_id = arrival.user_id AND e.position = $2 AND e.hash = $3
    RETURNING user_id
"""


class ArrivalError(Exception):
    """A stream that cannot come here: one sentence that says why."""


class NewTask(NamedTuple):
    """A task of an arriving stream, with the position of its first event."""

    user_id: str
    task_id: int
    position: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where a user's stream ended when the user left this ledger: all tasks up to there were created before."""

    cell: str | None
    position: int
    hash: bytes


async def admit(connection: Any, user_id: str) -> Home | None:
    """Lock a user's name until the transaction ends, and clear away what is left of the user; return the old home.

    Raises:
        ArrivalError: the user has a stream here, or rows that belong to none.
    """
    await connection.execute(_LOCK_NAME, user_id)
    known = await connection.fetchrow(_KNOWN, user_id)
    if known["is_here"]:
        raise ArrivalError(f"{user_id} has a stream in this ledger already")
    if known["is_damaged"]:
        raise ArrivalError(f"{user_id} has rows in this ledger, but no stream: see ./run verify {user_id}")
    for table in _REMNANTS:
        await connection.execute(f"DELETE FROM tasklog.{table} WHERE user_id = $1", user_id)  # noqa: S608 - constants
    if known["position"] is None:
        return None
    return Home(cell=known["cell"], position=known["position"], hash=known["hash"])


async def check_home(connection: Any, user_id: str, home: Home) -> None:
    """Check that the stream in the transaction is the one that left this ledger.

    Raises:
        ArrivalError: it is not.
    """
    if await connection.fetchval(_HASH_AT, user_id, home.position) != home.hash:
        raise ArrivalError(f"{user_id} left this ledger with another history, at position {home.position}")


async def claim_ids(connection: Any, database: Database, tasks: Sequence[NewTask], known: int = 0) -> None:
    """Make sure that nobody else has, or gets, the ids of arriving tasks, whose events are in the transaction.

    Ids out of this ledger's range are noted. Those within it may only be there because the ranges of two ledgers
    overlap, and are looked for in all events, but for tasks that were created up to the position `known`: these were
    here before.

    Raises:
        ArrivalError: a task of somebody else has one of these ids.
    """
    given = await given_ids(database)
    own, foreign = list[NewTask](), list[NewTask]()
    for task in tasks:
        if not given.first_id <= task.task_id <= given.last_id:
            foreign.append(task)
        elif task.position > known:
            own.append(task)
    if foreign:
        await _refuse_taken(connection, _TAKEN_BY_ARRIVALS, foreign)
        await connection.execute(_NOTE_IDS, *_columns(foreign))
    if own:
        async with database.transaction() as apart:
            await apart.execute("ALTER SEQUENCE tasklog.task_ids OWNED BY NONE")
            await apart.execute(_RESERVE, max(task.task_id for task in own))
        await _refuse_taken(connection, _TAKEN, own)


async def _refuse_taken(connection: Any, query: str, tasks: Sequence[NewTask]) -> None:
    for row in await connection.fetch(query, *_columns(tasks)):
        raise ArrivalError(f"task {row['task_id']} of {row['of']} has the id of a task of {row['user_id']} here")


def _columns(tasks: Sequence[NewTask]) -> tuple[list[str], list[int]]:
    return [task.user_id for task in tasks], [task.task_id for task in tasks]


async def note_arrival(connection: Any, user_id: str, position: int, digest: bytes, mended_at: Any = None) -> None:
    """Note that a stream is here, up to a position, and closed."""
    await connection.execute(_NOTE, user_id, position, digest, mended_at)


async def open_arrival(connection: Any, user_id: str, position: int, digest: bytes) -> bool:
    """Open a stream that arrived; return False if there is none that ends there."""
    await connection.execute(_LOCK_NAME, user_id)
    return await connection.fetchval(_OPEN, user_id, position, digest) is not None

"""Catch up: bring the read table up to the ledger's head, in batches, each event exactly once.

A batch is one transaction: it locks the checkpoints of its users, reads their next events, changes their rows and moves
the checkpoints. If the process is killed, Postgres rolls the batch back. A commit does not wait for the disk: a crash
of the server can lose the batch, but it loses checkpoint and rows together, so the events are projected again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import structlog

from domain.evolve import HistoryError, evolve
from domain.task import DeletedTask, NoTask, Task, TaskState
from event_log.codec import UnreadableEventError
from event_log.read import TaskKey, known_tasks, recorded
from projector.counts import COUNTS
from projector.row_writes import write_new, write_rows
from projector.statements import (
    ADVANCE,
    CLAIM,
    CLAIM_NAMED,
    CLEAR_UNPROJECTED,
    DELETED,
    ENROL,
    ENROL_NAMED,
    PARK,
    TOUCHED,
    UNPROJECTED,
    UNPROJECTED_TRACED,
    WHOLE_ROWS,
)
from projector.totals import Totals, changes
from projector.traced import trace_projection
from read_model.rows import row_of, task_of
from runtime import tracing
from runtime.database import Database

USERS: Final = 500
"""The most users in a batch."""
ENROLLED: Final = 1_000
"""The most new users that get a checkpoint in one transaction."""
EVENTS_OF_A_USER: Final = 2_000
EVENTS: Final = 5_000
BYTES_OF_A_USER: Final = 2 * 1024 * 1024
BYTES: Final = 8 * 1024 * 1024
"""The most events and bytes in a batch, of one user and in total; a batch has at least one event, with its task."""

_PARKED: Final = "a user is parked: an event cannot be projected"

log = structlog.get_logger()


class RefusedError(Exception):
    """The database refused a batch's rows, and rolled back the batch."""

    def __init__(self, users: list[str], reason: str) -> None:
        super().__init__(reason)
        self.users = users


@dataclass(kw_only=True, slots=True)
class Batch:
    """The result of folding the events of some users, which stand in `rows`."""

    states: dict[TaskKey, TaskState]
    reached: dict[str, int]
    events: int = 0
    is_full: bool = False
    rows: Sequence[Any] = ()
    failed: dict[str, str] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    """By how much the users' numbers of tasks change."""


async def catch_up(database: Database, stopping: asyncio.Event | None = None) -> int:
    """Project until only parked users have unprojected events; return the number of events projected.

    Raises:
        UnavailableError: the database went away; nothing is half done.
    """
    total, users = 0, USERS
    while stopping is None or not stopping.is_set():
        try:
            claimed, events, is_full = await project_batch(database, users)
        except RefusedError as refused:
            if len(refused.users) == 1:
                await _park(database, refused.users[0], str(refused))
            users = max(1, len(refused.users) // 2)
            continue
        total += events
        emptied = claimed < users and events < EVENTS_OF_A_USER and not is_full
        if (emptied or not events) and not await enrol(database):
            return total
        users = min(2 * users, USERS)
    return total


async def _park(database: Database, user_id: str, error: str) -> None:
    """Park a user whose rows the database refused in a batch of their own."""
    log.error(_PARKED, user_id=user_id, error=error)
    await database.fetch(PARK, user_id, error)
    COUNTS.parkings += 1


async def enrol(database: Database, named: Sequence[str] | None = None) -> int:
    """Create checkpoints for new streams, of these users or of any; return how many."""
    asked = (ENROL, ENROLLED) if named is None else (ENROL_NAMED, named)
    return int((await database.fetch(*asked))[0][0])


async def project_batch(
    database: Database, users: int = USERS, *, named: Sequence[str] | None = None
) -> tuple[int, int, bool]:
    """Project the next events of up to `users` users, or of those `named`, in one transaction.

    Return how many users, how many events, and whether a user has events left because long texts filled the batch. The
    marks of users who were named stay.

    Raises:
        RefusedError: the database refused the rows, and the batch was rolled back.
        UnavailableError: the database went away.
    """
    try:
        return await _project_batch(database, users, named)
    except asyncpg.UniqueViolationError:  # a new task has a row already, against all rules: it is written over
        return await _project_batch(database, users, named, over=True)


async def _project_batch(
    database: Database, users: int, named: Sequence[str] | None, *, over: bool = False
) -> tuple[int, int, bool]:
    """Project a batch; with `over`, the rows of new tasks may exist.

    Raises:
        asyncpg.UniqueViolationError: they do, and `over` is false.
    """
    claimed: dict[str, int] = {}
    began, began_at = time.perf_counter(), time.time_ns()
    try:
        async with database.transaction() as connection:
            rows = await connection.fetch(*((CLAIM, users) if named is None else (CLAIM_NAMED, named)))
            claimed |= {row["user_id"]: row["position"] for row in rows}
            if not claimed:
                return 0, 0, False
            batch = await _project(connection, claimed, over=over)
    except asyncpg.PostgresError as error:
        if not claimed or (isinstance(error, asyncpg.UniqueViolationError) and not over):
            raise
        # The error's message is left out: it may quote a user's text.
        raise RefusedError([*claimed], f"{type(error).__name__} ({error.sqlstate})") from error
    if named is None:
        # A separate transaction, so that heads are locked only briefly: an append skips a user whose head is locked.
        await database.fetch(CLEAR_UNPROJECTED, [*batch.reached], [*batch.reached.values()])
    if tracing.tracer is not None:
        trace_projection(batch.rows, batch.reached, began_at)
    COUNTS.batch_events.observe(batch.events)
    COUNTS.batch_seconds.observe(time.perf_counter() - began)
    COUNTS.parkings += len(batch.failed)
    return len(claimed), batch.events, batch.is_full


async def _project(connection: Any, claimed: Mapping[str, int], *, over: bool) -> Batch:
    limits = EVENTS_OF_A_USER, EVENTS, BYTES_OF_A_USER, BYTES
    unprojected = UNPROJECTED if tracing.tracer is None else UNPROJECTED_TRACED
    events = await connection.fetch(unprojected, [*claimed], [*claimed.values()], *limits)
    is_full = sum(row["bytes"] for row in events) >= BYTES_OF_A_USER
    touched = {(row["user_id"], row["task_id"]) for row in events if row["task_id"] is not None}
    touched -= {(row["user_id"], row["task_id"]) for row in events if row["version"] == 1}  # new tasks have no row yet
    rows = await connection.fetch(TOUCHED, *zip(*touched, strict=True)) if touched else ()
    restored = _restored(events)
    long = {(row["user_id"], row["id"]): row["left_out"] for row in rows if row["left_out"]}
    long |= await _sizes(connection, restored)
    if long:
        fitting = _fitting(events, long)
        is_full = is_full or len(fitting) < len(events)
        events, wanted = fitting, long.keys() & {(row["user_id"], row["task_id"]) for row in fitting}
        rows = [row for row in rows if not row["left_out"]]
        rows += await connection.fetch(WHOLE_ROWS, *zip(*wanted, strict=True)) if wanted else ()
        restored = {key: version for key, version in restored.items() if key in wanted}
    states = {(row["user_id"], row["id"]): task_of(row) for row in rows} | await _deleted(connection, restored)
    batch = fold_batch(claimed, events, states)
    batch.is_full = is_full
    await _write(connection, claimed, batch, over=over)
    return batch


def _restored(events: Sequence[Any]) -> dict[TaskKey, int]:
    """Return the tasks that the events begin with restoring, and so have no row, each with its version before."""
    first: dict[TaskKey, Any] = {}
    for row in events:
        first.setdefault((row["user_id"], row["task_id"]), row)
    return {key: row["version"] - 1 for key, row in first.items() if row["type"] == "task.restored"}


async def _sizes(connection: Any, restored: Mapping[TaskKey, int]) -> dict[TaskKey, int]:
    if not restored:
        return {}
    rows = await connection.fetch(DELETED, *zip(*restored, strict=True), [*restored.values()])
    return {(row["user_id"], row["id"]): row["bytes"] for row in rows}


async def _deleted(connection: Any, restored: Mapping[TaskKey, int]) -> dict[TaskKey, TaskState]:
    """Return the states of deleted tasks before their restorations, from the ledger.

    The tasks of a user whose events cannot be read are left out; folding fails at them, and parks the user.
    """
    states: dict[TaskKey, TaskState] = {}
    for user_id in {user_id for user_id, _ in restored}:
        asked = [(key, version) for key, version in restored.items() if key[0] == user_id]
        with suppress(HistoryError, UnreadableEventError):
            found = await known_tasks(connection, asked)
            states |= {key: task.state for (key, _), task in zip(asked, found, strict=True) if task is not None}
    return states


def _fitting(events: Sequence[Any], long: Mapping[TaskKey, int]) -> list[Any]:
    """Return the events whose tasks fit into the batch; `long` gives the bytes of long tasks.

    A user's events stop before the first one that does not fit.
    """
    fitting: list[Any] = []
    seen: set[TaskKey] = set()
    full: set[str] = set()
    room = BYTES
    for row in events:
        user_id, key = row["user_id"], (row["user_id"], row["task_id"])
        size = 0 if key in seen else long.get(key, 0)
        if size > room and seen:
            full.add(user_id)
        if user_id not in full:
            fitting.append(row)
            room -= size
            seen |= {key} if size else set()
    return fitting


def fold_batch(claimed: Mapping[str, int], events: Sequence[Any], states: Mapping[TaskKey, TaskState]) -> Batch:
    """Fold events over the tasks that they change; an impossible event only stops its own user."""
    batch = Batch(states=dict(states), reached=dict(claimed), rows=events)
    for row in events:
        user_id, key = row["user_id"], (row["user_id"], row["task_id"])
        if user_id in batch.failed:
            continue
        try:
            _check_density(row["position"], behind=batch.reached[user_id])
            if event := recorded(row):
                batch.states[key] = evolve(batch.states.get(key, NoTask()), event)
        except (HistoryError, UnreadableEventError) as error:
            batch.failed[user_id] = f"position {row['position']}: {error}"
            continue
        batch.reached[user_id] = row["position"]
        batch.events += 1
    batch.totals = changes(states, batch.states)
    return batch


def _check_density(position: int, *, behind: int) -> None:
    if position != behind + 1:
        raise HistoryError(f"position {position} follows {behind}")


async def _write(connection: Any, claimed: Mapping[str, int], batch: Batch, *, over: bool) -> None:
    rows = [row_of(user_id, state) for (user_id, _), state in batch.states.items() if isinstance(state, Task)]
    put = rows if over else await write_new(connection, rows)
    await write_rows(connection, put, [key for key, state in batch.states.items() if isinstance(state, DeletedTask)])
    advanced = {user_id: position for user_id, position in batch.reached.items() if position > claimed[user_id]}
    totals = [batch.totals.get(user_id, Totals()) for user_id in advanced]
    tasks, completed = [total.tasks for total in totals], [total.completed for total in totals]
    await connection.execute(ADVANCE, [*advanced], [*advanced.values()], tasks, completed)
    for user_id, error in batch.failed.items():
        log.error(_PARKED, user_id=user_id, error=error)
        await connection.execute(PARK, user_id, error)

"""Reading events back as the domain's objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.events import Recorded
from domain.evolve import fold_last
from domain.task import NoTask, TaskState
from event_log.append import Fetching
from event_log.codec import STREAM_ERASED, decode
from event_log.receipt import Receipt

LATEST_EVENTS: Final = "SELECT * FROM tasklog.latest_events($1, $2, $3, $4)"

CARRIED_OUT: Final = "SELECT * FROM tasklog.carried_out($1, $2)"

TaskKey = tuple[str, int]
"""A user's id and a task's id."""


class NoStreamError(Exception):
    """The ledger has no stream of this user."""


def recorded(row: Mapping[str, Any]) -> Recorded | None:
    """Return the event of a stored row, or None if it changes no task; its time may be a datetime or ISO 8601 text."""
    if row["type"] == STREAM_ERASED:
        return None
    at = row["recorded_at"]
    return Recorded(
        event=decode(row["type"], row["schema_version"], row["data"]),
        task_id=row["task_id"],
        position=row["position"],
        version=row["version"],
        recorded_at=at if isinstance(at, datetime) else datetime.fromisoformat(at).astimezone(UTC),
    )


class Known(NamedTuple):
    """A task's state, with the id of the event that led to it, and the head of the user's stream when it was read.

    The version does not identify the state: after a fail-over that lost commits, another event can get the same
    version.
    """

    state: TaskState
    event_id: UUID | None = None
    head: Receipt | None = None


NOTHING_KNOWN: Final = Known(NoTask())


async def known_tasks(
    database: Fetching, asked: Sequence[tuple[TaskKey, int | None]], light: int | None = None
) -> list[Known | None]:
    """Return each task's state, now or at a version; this reads only a few events of each task.

    `light` limits the bytes of data that these events may have; the answer for a larger task is None.

    Raises:
        HistoryError, UnreadableEventError: the events of a task do not fit each other, or cannot be read.
    """
    users, tasks = [user_id for (user_id, _), _ in asked], [task_id for (_, task_id), _ in asked]
    histories: list[list[Recorded]] = [[] for _ in asked]
    heads: dict[int, Receipt] = {}
    heavy: set[int] = set()
    for row in await database.fetch(LATEST_EVENTS, users, tasks, [version for _, version in asked], light):
        n = row["n"] - 1
        if row["task_id"] is None:
            heavy.add(n)
        elif event := recorded(row):
            histories[n].append(event._replace(event_id=row["event_id"]))
            heads[n] = Receipt(row["head"], row["hash"].hex())
    return [None if n in heavy else _known(history, heads.get(n)) for n, history in enumerate(histories)]


def _known(history: Sequence[Recorded], head: Receipt | None) -> Known:
    return Known(fold_last(history), history[-1].event_id, head) if history else NOTHING_KNOWN


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """A command carried out under an idempotency key: a digest of its request, its task, and the version after it.

    `receipt` is None if the ledger has lost the event at that position.
    """

    fingerprint: bytes
    task_id: int
    version: int
    receipt: Receipt | None


async def remembered(database: Fetching, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Remembered]:
    """Return the commands of the last 24 hours with these keys, by (user id, idempotency key)."""
    rows = await database.fetch(CARRIED_OUT, [user_id for user_id, _ in keys], [key for _, key in keys])
    return {
        (row["user_id"], row["key"]): Remembered(
            fingerprint=row["fingerprint"],
            task_id=row["task_id"],
            version=row["version"],
            receipt=None if row["hash"] is None else Receipt(row["position"], row["hash"].hex()),
        )
        for row in rows
    }

"""Read events back, as the domain knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from domain.events import Recorded
from event_log.append import Fetching
from event_log.codec import STREAM_ERASED, decode

TASK_EVENTS: Final = "SELECT * FROM tasklog.task_events($1, $2, $3)"

REMEMBERED: Final = "SELECT * FROM tasklog.remembered($1, $2)"

TaskKey = tuple[str, int]
"""A user's id and a task's id."""


class NoStreamError(Exception):
    """The ledger has no stream of the user who is named."""


def recorded(row: Mapping[str, Any]) -> Recorded | None:
    """The event of a stored row; its time may be a datetime or ISO 8601 text. None for one that changes no task.

    Raises:
        UnreadableEventError: this code does not know the event.
    """
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


async def task_events(database: Fetching, versions: Mapping[TaskKey, int]) -> dict[TaskKey, list[Recorded]]:
    """The events of each task behind the version that is known of it, in order."""
    users = [user_id for user_id, _ in versions]
    tasks = [task_id for _, task_id in versions]
    histories: dict[TaskKey, list[Recorded]] = {key: [] for key in versions}
    for row in await database.fetch(TASK_EVENTS, users, tasks, list(versions.values())):
        if event := recorded(row):
            histories[row["user_id"], row["task_id"]].append(event)
    return histories


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """A command that was carried out under an idempotency key: of which request, and what it led to."""

    fingerprint: bytes
    task_id: int
    version: int


async def remembered(database: Fetching, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Remembered]:
    """What is remembered, for 24 hours, of commands by (user id, idempotency key)."""
    rows = await database.fetch(REMEMBERED, [user_id for user_id, _ in keys], [key for _, key in keys])
    return {
        (row["user_id"], row["key"]): Remembered(
            fingerprint=row["fingerprint"], task_id=row["task_id"], version=row["version"]
        )
        for row in rows
    }

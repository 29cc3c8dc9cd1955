"""Append: events of many users in one statement and one transaction; a command that fails leaves the others alone."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from domain.events import Recorded, TaskEvent
from event_log.codec import canonical_json, encode
from event_log.receipt import Receipt

_NONCE: Final = 16
_RANDOM: Final = _NONCE + 10
"""Random bytes per event. A batch reads all its random bytes at once, because each read is a system call."""

APPEND: Final = "SELECT * FROM tasklog.append_commands($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"

NEW_TASK_IDS: Final = "SELECT * FROM tasklog.ids_of_new_tasks($1, $2, $3)"


class Fetching(Protocol):
    """The part of a database that reads and appends use."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run `query`, commit, and return its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKey:
    """A key under which a user's command is carried out only once, with a digest of the request."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """The events of one command: all of them are appended, or none.

    `task_id` is None for a new task whose id was not asked for in advance; the ledger then assigns one. The events were
    decided on version `expected_version`; `last_event_id` is the id of the event at that version, or None to check only
    the version. `actor` and `request_id` say who made the change, in which request. An append with an `idempotency_key`
    may have no events: the ledger then only records that the command was carried out. `undoes` is the
    position of what the command takes back.
    """

    user_id: str
    task_id: int | None
    expected_version: int
    events: tuple[TaskEvent, ...]
    actor: str
    request_id: str
    idempotency_key: IdempotencyKey | None = None
    last_event_id: UUID | None = None
    undoes: int | None = None


class Appended(NamedTuple):
    """The recorded events of one command, and its receipt: of the last event, or without events of the head."""

    events: tuple[Recorded, ...]
    receipt: Receipt


class Refused(Enum):
    """Why nothing was appended for a command."""

    CONFLICT = "conflict"
    """The task is not at the expected version: load its newer events and decide again."""
    BUSY = "busy"
    """Another transaction holds the user's stream: try again, or wait for it."""
    REPEATED = "repeated"
    """A command with this key was already carried out: give the same answer again, see `remembered`."""
    HEAVY = "heavy"
    """The task is too large to share a batch with other users' commands: the command was not tried."""


async def append(database: Fetching, appends: Sequence[Append], *, wait: bool = False) -> list[Appended | Refused]:
    """Append in one round trip; return, for each of `appends` in order, what was appended or why it was refused.

    Recorded events are committed. Without `wait`, an append to a stream that another transaction has locked is refused
    as BUSY, so no user waits for another.
    """
    random = io.BytesIO(os.urandom(_RANDOM * sum(len(command.events) for command in appends)))
    rows = [row for n, command in enumerate(appends) for row in _rows(n, command, random)]
    ids: list[list[UUID]] = [[] for _ in appends]
    for row in rows:
        ids[row[0]].append(row[5])  # by the index of the command
    refused: dict[int, Refused] = {}
    recorded: list[list[Recorded]] = [[] for _ in appends]
    receipts: dict[int, Receipt] = {}
    for row in await database.fetch(APPEND, *(list(column) for column in zip(*rows, strict=True)), wait):
        n, events = row["command"], recorded[row["command"]]
        if row["outcome"] != "appended":
            refused[n] = Refused(row["outcome"])
            continue
        receipts[n] = Receipt(row["position"], row["hash"].hex())
        if appends[n].events:
            events.append(
                Recorded(
                    event=appends[n].events[len(events)],
                    task_id=row["task_id"],
                    position=row["position"],
                    version=appends[n].expected_version + len(events) + 1,
                    recorded_at=row["recorded_at"],
                    event_id=ids[n][len(events)],
                )
            )
    return [refused.get(n) or Appended(tuple(events), receipts[n]) for n, events in enumerate(recorded)]


async def ids_of_new_tasks(database: Fetching, user_id: str, keys: Sequence[IdempotencyKey]) -> list[int]:
    """Return the ids for tasks that commands with these keys create, or have already created."""
    rows = await database.fetch(NEW_TASK_IDS, user_id, [key.key for key in keys], [key.fingerprint for key in keys])
    return [row["task_id"] for row in rows]


def _rows(n: int, command: Append, random: io.BytesIO) -> list[tuple[Any, ...]]:
    first_columns = (n, command.user_id, command.task_id)
    last_columns = (
        (command.idempotency_key.key, command.idempotency_key.fingerprint) if command.idempotency_key else (None, None)
    )
    rows: list[tuple[Any, ...]] = []
    for version, event in enumerate(command.events, start=command.expected_version + 1):
        name, schema_version, data = encode(event)
        nonce, event_id = random.read(_NONCE).hex(), _event_id(random.read(_RANDOM - _NONCE))
        metadata: dict[str, object] = {"actor": command.actor, "nonce": nonce, "request_id": command.request_id}
        if rows:
            metadata["continues"] = True
        if command.undoes is not None:
            metadata["undoes"] = command.undoes
        rows.append(
            (
                *first_columns,
                version,
                command.last_event_id,
                event_id,
                name,
                schema_version,
                data,
                canonical_json(metadata),
                *last_columns,
            )
        )
    nothing = (None,) * 5
    return rows or [(*first_columns, command.expected_version + 1, command.last_event_id, *nothing, *last_columns)]


def _event_id(random: bytes) -> UUID:
    """Return a UUID of version 7 (RFC 9562): the time in ms, then ten random bytes."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(random)
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)

"""Append: events of many users in one statement and one transaction; a command that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from asyncpg.pgproto import pgproto  # its UUIDs are made and sent in a fraction of the time

from domain.events import Recorded, TaskEvent
from event_log.codec import canonical_json, encode
from event_log.identities import identities
from event_log.receipt import Receipt

_TYPES: Final = (
    *("integer", "text", "bigint", "integer", "uuid", "uuid"),
    *("text", "smallint", "text", "text", "text", "bytea"),
)
"""Those of the parameters of tasklog.append_commands, each an array."""
_ARRAYS: Final = ", ".join(f"string_to_array(${n}, E'\\n', '')::{kind}[]" for n, kind in enumerate(_TYPES, start=1))
APPEND: Final = f"SELECT * FROM tasklog.append_commands({_ARRAYS}, ${len(_TYPES) + 1})"  # noqa: S608 - constants
"""Each parameter has a line for each event, empty for null: the driver takes several times as long for arrays."""

NEW_TASK_IDS: Final = "SELECT * FROM tasklog.ids_of_new_tasks($1, $2, $3)"


class Fetching(Protocol):
    """The part of a database that reads and appends use."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Run `query`, commit, and return its rows."""


class IdempotencyKey(NamedTuple):
    """A key under which a user's command is carried out only once, with a digest of the request."""

    key: str
    fingerprint: bytes


class Append(NamedTuple):
    """The events of one command: all of them are appended, or none.

    `task_id` is None for a new task whose id was not asked for in advance; the ledger then assigns one. The events were
    decided on version `expected_version`; `last_event_id` is the id of the event at that version, or None to check only
    the version. `actor` and `request_id` say who made the change, in which request. An append with an `idempotency_key`
    may have no events: the ledger then only records that the command was carried out. `undoes` is the
    position of what the command takes back. `traceparent` names the append in a trace (W3C), if one is recorded.
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
    traceparent: str | None = None


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
    ELSEWHERE = "elsewhere"
    """The user's stream is in another ledger, or arriving from one: see event_log/elsewhere.py."""
    HEAVY = "heavy"
    """The task is too large to share a batch with other users' commands: the command was not tried."""


async def append(database: Fetching, appends: Sequence[Append], *, wait: bool = False) -> list[Appended | Refused]:
    """Append in one round trip; return, for each of `appends` in order, what was appended or why it was refused.

    Recorded events are committed. Without `wait`, an append to a stream that another transaction has locked is refused
    as BUSY, so no user waits for another.
    """
    drawn = identities(sum([len(command.events) for command in appends]))
    ids: list[list[str]] = [[] for _ in appends]
    rows = [row for n, command in enumerate(appends) for row in _rows(str(n), command, drawn, ids[n])]
    found = await database.fetch(APPEND, *["\n".join(column) for column in zip(*rows, strict=True)], wait)
    outcomes: dict[int, Appended | Refused] = {}
    for n, outcome, task_id, position, recorded_at, digest in found:
        if outcome != "appended":
            outcomes[n] = Refused(outcome)
            continue
        command, before = appends[n], outcomes.get(n)
        recorded = before.events if isinstance(before, Appended) else ()
        if command.events:
            number = len(recorded)
            event, version, event_id = command.events[number], command.expected_version + number + 1, ids[n][number]
            recorded += (Recorded(event, task_id, position, version, recorded_at, pgproto.UUID(event_id)),)
        outcomes[n] = Appended(recorded, Receipt(position, digest.hex()))
    return [outcomes[n] for n in range(len(appends))]


async def ids_of_new_tasks(database: Fetching, user_id: str, keys: Sequence[IdempotencyKey]) -> list[int]:
    """Return the ids for tasks that commands with these keys create, or have already created."""
    rows = await database.fetch(NEW_TASK_IDS, user_id, [key.key for key in keys], [key.fingerprint for key in keys])
    return [row["task_id"] for row in rows]


def _rows(n: str, command: Append, drawn: Iterator[tuple[str, str]], ids: list[str]) -> list[tuple[str, ...]]:
    """Return the lines of a command's events, column by column, and add the events' new ids to `ids`."""
    key = command.idempotency_key
    task, known = _line(command.task_id), _line(command.last_event_id)
    first_columns = (n, command.user_id, task)
    last_columns = (key.key, f"\\x{key.fingerprint.hex()}") if key else ("", "")
    rows: list[tuple[str, ...]] = []
    version = command.expected_version
    for event in command.events:
        version += 1
        nonce, event_id = next(drawn)
        metadata: dict[str, object] = {"actor": command.actor, "nonce": nonce, "request_id": command.request_id}
        if rows:
            metadata["continues"] = True
        if command.traceparent is not None:
            metadata["traceparent"] = command.traceparent
        if command.undoes is not None:
            metadata["undoes"] = command.undoes
        name, schema_version, data = encode(event)
        stored = (event_id, name, str(schema_version), data, canonical_json(metadata))
        rows.append((*first_columns, str(version), known, *stored, *last_columns))
        ids.append(event_id)
    nothing = ("",) * 5
    return rows or [(*first_columns, str(command.expected_version + 1), known, *nothing, *last_columns)]


def _line(value: object) -> str:
    return "" if value is None else str(value)

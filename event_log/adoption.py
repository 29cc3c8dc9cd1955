"""Adoption: append the tasks of another backend, thousands in one transaction.

Each is the first event of its task, and a task that the ledger already has is left alone. So an interrupted adoption
starts over, and nothing is appended twice. COPY writes the rows, and their hashes are computed here, because
tasklog.append_commands would check and answer each event by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from event_log.append import Fetching
from event_log.codec import canonical_json
from event_log.elsewhere import UserElsewhereError
from event_log.identities import identities

_TAKE_HEADS: Final = """
    -- Lock and return the heads of users $1, which are sorted; see tasklog.take_head.
    SELECT head.* FROM unnest($1::text[]) AS asked (user_id) CROSS JOIN LATERAL tasklog.take_head(user_id, true) AS head
"""
_KNOWN: Final = """
    -- Those of the tasks $2 of users $1 that the ledger has.
    SELECT wanted.* FROM unnest($1::text[], $2::bigint[]) AS wanted (user_id, task_id)
    WHERE EXISTS (SELECT FROM tasklog.events e
                  WHERE e.user_id = wanted.user_id AND e.task_id = wanted.task_id AND e.version = 1)
"""
_DIFFERENT: Final = """
    -- The tasks $2 of users $1 whose first event does not have type $3 and data $4, and whether it has the type.
    -- Erased data count as equal.
    SELECT wanted.task_id, coalesce(e.type = wanted.type, false) AS is_adopted
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS wanted (user_id, task_id, type, data)
    LEFT JOIN LATERAL (
        SELECT e.type, e.data::text AS data FROM tasklog.events e
        WHERE e.user_id = wanted.user_id AND e.task_id = wanted.task_id AND e.version = 1 OFFSET 0
    ) AS e ON true
    WHERE e.type IS DISTINCT FROM wanted.type OR e.data <> wanted.data
"""
_MOVE_HEADS: Final = """
    -- Write locked heads back: those of users $1 are at positions $2, with hashes $3 and times $4.
    INSERT INTO tasklog.streams AS s (user_id, head, hash, recorded_at, unprojected_since)
    SELECT moved.*, moved.recorded_at
    FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::timestamptz[]) AS moved (user_id, head, hash, recorded_at)
    ON CONFLICT (user_id) DO UPDATE
    SET head = excluded.head, hash = excluded.hash, recorded_at = excluded.recorded_at,
        unprojected_since = coalesce(s.unprojected_since, excluded.unprojected_since)
"""
_COLUMNS: Final = (
    "user_id",
    "position",
    "task_id",
    "version",
    "event_id",
    "type",
    "schema_version",
    "data",
    "metadata",
    "recorded_at",
    "hash",
)
_NONCE: Final = "NONCE"
_BLOCK_ROWS: Final = 200


class Adoptable(NamedTuple):
    """A task to adopt, as the event `type` with canonical JSON."""

    user_id: str
    task_id: int
    type: str
    schema_version: int
    data: str


@dataclass(kw_only=True, slots=True)
class _Stream:
    """A locked stream, and how far it has been extended."""

    user_id: str
    head: int
    hash: str
    recorded_at: Any
    appended: int = 0
    time: str = field(init=False)

    def __post_init__(self) -> None:
        """Format the time as the hash chain does."""
        self.time = self.recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def adopt(connection: Any, tasks: Sequence[Adoptable], *, actor: str, request_id: str) -> int:
    """Append those of `tasks` that the ledger does not have; return how many.

    `tasks` must be sorted by user id. `connection` is the owner's, in a transaction.

    Raises:
        UserElsewhereError: a user's stream is in another ledger.
    """
    users = [user_id for user_id, _ in groupby(tasks, attrgetter("user_id"))]
    streams = {row["user_id"]: _stream(row) for row in await connection.fetch(_TAKE_HEADS, users)}
    if gone := next((user_id for user_id in users if user_id not in streams), None):
        raise UserElsewhereError(gone)
    asked = [task for task in tasks if streams[task.user_id].head]  # a new stream has no task yet
    known = {tuple(row) for row in await connection.fetch(_KNOWN, *_columns(asked)[:2])} if asked else set()
    new = [task for task in tasks if task[:2] not in known] if known else tasks
    if new:
        envelope = canonical_json({"actor": actor, "nonce": _NONCE, "request_id": request_id})
        await connection.copy_to_table(
            "events", schema_name="tasklog", columns=_COLUMNS, source=_blocks(new, streams, envelope)
        )
        await _move_heads(connection, [stream for stream in streams.values() if stream.appended])
    return len(new)


async def differences(database: Fetching, tasks: Sequence[Adoptable]) -> list[tuple[int, bool]]:
    """Return the ids of `tasks` whose first event differs, each with whether that event is an adoption."""
    users, ids, types, _, data = _columns(tasks)
    return [(row["task_id"], row["is_adopted"]) for row in await database.fetch(_DIFFERENT, users, ids, types, data)]


def _columns(tasks: Sequence[Adoptable]) -> list[list[Any]]:
    return [list(column) for column in zip(*tasks, strict=True)]


def _stream(row: Any) -> _Stream:
    return _Stream(user_id=row["user_id"], head=row["head"], hash=row["hash"].hex(), recorded_at=row["recorded_at"])


async def _move_heads(connection: Any, streams: Sequence[_Stream]) -> None:
    await connection.execute(
        _MOVE_HEADS,
        [stream.user_id for stream in streams],
        [stream.head for stream in streams],
        [bytes.fromhex(stream.hash) for stream in streams],
        [stream.recorded_at for stream in streams],
    )


async def _blocks(tasks: Sequence[Adoptable], streams: dict[str, _Stream], envelope: str) -> AsyncIterator[bytes]:
    """Yield the rows of the events, in blocks: Postgres stores one block while the next is made."""
    for start in range(0, len(tasks), _BLOCK_ROWS):
        yield "".join(_rows(tasks[start : start + _BLOCK_ROWS], streams, envelope)).encode()


def _rows(tasks: Sequence[Adoptable], streams: dict[str, _Stream], envelope: str) -> Iterator[str]:
    """Yield the events in COPY's text format, and extend their streams. Ids and JSON have no control characters."""
    before, after = envelope.split(_NONCE)
    for (user_id, task_id, kind, schema_version, data), (nonce, event_id) in zip(
        tasks, identities(len(tasks)), strict=True
    ):
        stream, metadata = streams[user_id], f"{before}{nonce}{after}"
        content = sha256(f"{metadata}\n{data}".encode()).hexdigest()
        stream.head, stream.appended = stream.head + 1, stream.appended + 1
        line = f"{user_id}\n{stream.head}\n{task_id}\n1\n{event_id}\n{kind}\n{schema_version}"
        stream.hash = sha256(f"{stream.hash}\n{line}\n{stream.time}\n{content}".encode()).hexdigest()
        row = f"{line}\n{data}\n{metadata}\n{stream.time}\n\\x{stream.hash}"
        yield row.replace("\\", "\\\\").replace("\n", "\t") + "\n"

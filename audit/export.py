"""Export: the ledger as JSON Lines that prove themselves, and back into an empty database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

import orjson

from audit.verify import Anchors, Progress, Report
from event_log.chain import Chain, Link
from runtime.database import Database

_LINES: Final = """
    -- Events as JSON, one a line, in order; data and metadata are strings, as the very text of them is hashed.
    SELECT json_build_object(
        'user_id', e.user_id, 'position', e.position, 'task_id', e.task_id, 'version', e.version,
        'event_id', e.event_id, 'type', e.type, 'schema_version', e.schema_version,
        'recorded_at', to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'data', e.data::text, 'metadata', e.metadata::text,
        'erased_digest', encode(e.erased_digest, 'hex'), 'hash', encode(e.hash, 'hex'))
    FROM tasklog.events e {} ORDER BY e.user_id, e.position
"""
_CHUNK: Final = 5_000


class ExportError(Exception):
    """The file is not a whole export, or cannot be imported: one sentence that says why."""


async def export(
    database: Database, out: IO[bytes], *, user_id: str | None = None, progress: Progress = lambda _: None
) -> int:
    """Write all events, or one user's, to `out` as of one moment; the number of events.

    The last line is `{"end": true, "events": …, "sha256": …}` over all lines before it.

    Raises:
        UnavailableError: the database went away; the file is not whole, and has no last line.
    """
    digest, events = sha256(), 0

    async def write(block: bytes) -> None:
        nonlocal events
        digest.update(block)
        out.write(block)
        events += block.count(b"\n")
        progress(block.count(b"\n"))

    query = _LINES.format("" if user_id is None else "WHERE e.user_id = $1")
    arguments = () if user_id is None else (user_id,)
    async with database.transaction() as connection:
        # JSON has no control characters, so that with these as delimiter and quote a row is its JSON to the letter.
        await connection.copy_from_query(
            query, *arguments, output=write, format="csv", delimiter="\x02", quote="\x01", timeout=None
        )
    out.write(orjson.dumps({"end": True, "events": events, "sha256": digest.hexdigest()}) + b"\n")
    return events


@dataclass(kw_only=True, slots=True)
class _File:
    """An export as it is read: every line is checked to be an event, the last one to be the end."""

    path: Path

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """The events in chunks; the end line is checked behind the last.

        Raises:
            ExportError: a line is no event, or the end is missing or does not fit.
        """
        digest, count, chunk, end = sha256(), 0, [], None
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if end is not None:
                    raise ExportError(f"line {number} stands behind the end line")
                event = _parsed(line, number)
                if event.get("end") is True:
                    end = event
                    continue
                digest.update(line)
                count += 1
                chunk.append(event)
                if len(chunk) == _CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk
        if end is None:
            raise ExportError("the end line is missing: the export was cut or is not finished")
        if (end.get("events"), end.get("sha256")) != (count, digest.hexdigest()):
            raise ExportError("the end line does not fit the lines before it")


def verify_file(path: Path, *, anchors: Anchors | None = None, progress: Progress = lambda _: None) -> Report:
    """Check an export without a database: its chains, density, anchors and end.

    Raises:
        ExportError: the file is not a whole export.
    """
    report, chain = Report(), Chain(anchors=anchors or {})
    for events in _File(path=path).events():
        chain.feed(map(_link, events))
        report.events += len(events)
        progress(len(events))
    report.streams = len(chain.heads)
    for user_id, head in list(chain.heads.items()):
        chain.finish(user_id, head)
    report.faults += chain.faults.values()
    return report


async def import_(database: Database, path: Path, *, progress: Progress = lambda _: None) -> int:
    """Read an export into an empty ledger, as its owner, in one transaction; the number of events.

    Hashes, positions and times stay what they were, so the chains stay whole and anchors keep their worth.

    Raises:
        ExportError: the ledger is not empty, or the file is not whole or does not verify; nothing is imported.
    """
    total, chain, times, newest_task = 0, Chain(), dict[str, datetime](), 0
    async with database.transaction() as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM tasklog.streams)"):
            raise ExportError("the ledger is not empty: import goes into a database that was just migrated")
        for events in _File(path=path).events():
            chain.feed(map(_link, events))
            _refuse_faults(chain)
            await connection.copy_records_to_table(
                "events", schema_name="tasklog", columns=_COLUMNS, records=map(_record, events)
            )
            times |= {event["user_id"]: datetime.fromisoformat(event["recorded_at"]) for event in events}
            newest_task = max(newest_task, *(event["task_id"] or 0 for event in events))
            total += len(events)
            progress(len(events))
        heads = [(user, head, bytes.fromhex(digest), times[user]) for user, (head, digest) in chain.heads.items()]
        for user, head in list(chain.heads.items()):
            chain.finish(user, head)
        _refuse_faults(chain)
        await _begin_streams(connection, heads, newest_task)
    return total


async def _begin_streams(connection: Any, heads: Iterable[tuple[str, int, bytes, datetime]], newest_task: int) -> None:
    await connection.copy_records_to_table(
        "streams", schema_name="tasklog", columns=("user_id", "head", "hash", "recorded_at"), records=heads
    )
    await connection.execute("UPDATE tasklog.streams SET unprojected_since = clock_timestamp()")
    await connection.execute("SELECT setval('tasklog.task_ids', $1, $2)", max(newest_task, 1), newest_task > 0)


def _refuse_faults(chain: Chain) -> None:
    for fault in chain.faults.values():
        raise ExportError(f"user {fault.user_id}, position {fault.position}: {fault.reason}")


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ExportError(f"line {number} is not JSON") from None
    if not isinstance(event, dict) or not (event.get("end") is True or event.keys() >= set(_COLUMNS)):
        raise ExportError(f"line {number} is not an event of an export")
    return event


_COLUMNS: Final = (
    "user_id",
    "position",
    "task_id",
    "version",
    "event_id",
    "type",
    "schema_version",
    "recorded_at",
    "data",
    "metadata",
    "erased_digest",
    "hash",
)


def _record(event: Mapping[str, Any]) -> tuple[object, ...]:
    """A line as a row of `events`."""
    digest = event["erased_digest"]
    return (
        *(event[name] for name in _COLUMNS[:4]),
        UUID(event["event_id"]),
        event["type"],
        event["schema_version"],
        datetime.fromisoformat(event["recorded_at"]),
        event["data"],
        event["metadata"],
        None if digest is None else bytes.fromhex(digest),
        bytes.fromhex(event["hash"]),
    )


def _link(event: Mapping[str, Any]) -> Link:
    """A line as a link of its chain."""
    task_id = "" if event["task_id"] is None else event["task_id"]
    return Link(
        event["user_id"],
        event["position"],
        f"{event['position']}\n{task_id}\n{event['version']}\n{event['event_id']}\n{event['type']}\n"
        f"{event['schema_version']}\n{event['recorded_at']}",
        event["metadata"],
        event["data"],
        event["erased_digest"],
        event["hash"],
        event["type"],
    )

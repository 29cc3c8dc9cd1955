"""An export as it is read: every line is checked to be an event in its order, the last one to be the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from audit.report import Anchors, Progress, Report, gone
from event_log.chain import Chain, Head, Link

COLUMNS: Final = (
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
_TYPES: Final = (str, int, int | None, int, str, str, int, str, str | None, str | None, str | None, str)
_CHUNK: Final = 1_000
_CHUNK_BYTES: Final = 4 * 1024 * 1024


class ExportError(Exception):
    """The file is not a whole export, or it cannot be imported: one sentence that says why."""


class FileEvent(NamedTuple):
    """A line of an export, in the order of COLUMNS."""

    user_id: str
    position: int
    task_id: int | None
    version: int
    event_id: str
    type: str
    schema_version: int
    recorded_at: str
    data: str | None
    metadata: str | None
    erased_digest: str | None
    hash: str

    def link(self) -> Link:
        """The event as a link of its chain."""
        task_id = "" if self.task_id is None else self.task_id
        return Link(
            self.user_id,
            self.position,
            f"{self.position}\n{task_id}\n{self.version}\n{self.event_id}\n{self.type}\n{self.schema_version}\n"
            f"{self.recorded_at}",
            self.metadata,
            self.data,
            self.erased_digest,
            self.hash,
            self.type,
        )

    def record(self) -> tuple[object, ...]:
        """The event as a row of `events`."""
        return (
            *self[:4],
            UUID(self.event_id),
            self.type,
            self.schema_version,
            datetime.fromisoformat(self.recorded_at),
            self.data,
            self.metadata,
            None if self.erased_digest is None else bytes.fromhex(self.erased_digest),
            bytes.fromhex(self.hash),
        )


@dataclass(kw_only=True, slots=True)
class ExportFile:
    """The lines of an export; what its end says is known once all events were read."""

    path: Path
    user_id: str | None = None

    def events(self) -> Iterator[list[FileEvent]]:
        """The events in chunks; the end line is checked behind the last.

        Raises:
            ExportError: a line is no event, or not in its place, or the end is missing or does not fit.
        """
        digest, count, chunk, size, end, user = sha256(), 0, list[FileEvent](), 0, None, ""
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if end is not None:
                    raise ExportError(f"line {number} stands behind the end line")
                values = _parsed(line, number)
                if values.get("end") is True:
                    end = values
                    continue
                event = _event(values, number)
                if event.user_id < user:
                    raise ExportError(f"line {number} is out of order: user {event.user_id} stands behind {user}")
                user = event.user_id
                digest.update(line)
                count += 1
                chunk.append(event)
                size += len(line)
                if len(chunk) == _CHUNK or size > _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk
        if end is None:
            raise ExportError("the end line is missing: the export was cut or is not finished")
        if (end.get("events"), end.get("sha256")) != (count, digest.hexdigest()):
            raise ExportError("the end line does not fit the lines before it")
        self.user_id = end.get("user_id")


def verify_file(path: Path, *, anchors: Anchors | None = None, progress: Progress = lambda _: None) -> Report:
    """Check an export without a database: its chains, density, anchors and end.

    Raises:
        ExportError: the file is not a whole export.
    """
    given, anchors = anchors, anchors or {}
    report, chain, file, anchored = Report(), Chain(anchors=anchors), ExportFile(path=path), set[str]()

    def end_streams(current: str | None) -> None:
        for user_id, _ in complete(chain, current):
            report.streams += 1
            if user_id in anchors:
                anchored.add(user_id)

    for events in file.events():
        chain.feed([event.link() for event in events])
        report.events += len(events)
        end_streams(events[-1].user_id)
        progress(len(events))
    end_streams(None)
    report.faults += chain.faults.values()
    wanted = {user: heads for user, heads in anchors.items() if file.user_id in {None, user}}
    report.faults += gone(wanted, anchored)
    report.anchors = None if given is None else sum(map(len, wanted.values()))
    return report


def complete(chain: Chain, current: str | None) -> Iterator[tuple[str, Head]]:
    """End the chains of all users but the `current` one, whose events may go on; their ids and heads."""
    for user_id, head in list(chain.heads.items()):
        if user_id != current:
            chain.finish(user_id)
            yield user_id, head


def total_events(path: Path) -> int | None:
    """How many events the end line promises, for a progress bar; None without one."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    try:
        match orjson.loads(last):
            case {"end": True, "events": int(events)}:
                return events
    except orjson.JSONDecodeError:
        pass
    return None


def _parsed(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ExportError(f"line {number} is not JSON") from None
    if not isinstance(values, dict):
        raise ExportError(f"line {number} is not an event of an export")
    return values


def _event(values: Mapping[str, Any], number: int) -> FileEvent:
    try:
        event = FileEvent(**values)
    except TypeError:
        event = None
    if event is None or not all(map(isinstance, event, _TYPES)):
        raise ExportError(f"line {number} is not an event of an export")
    return event

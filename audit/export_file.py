"""Reading an export: each line must be as `export` writes it, each stream verifies, and the end line comes last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from audit.export_line import LONGEST_LINE, ExportError, FileEvent, FileKey, read_line
from audit.report import Anchors, Progress, Report, gone
from event_log.chain import Chain, Fault, Head
from event_log.story import Story

_CHUNK: Final = 1_000
_CHUNK_BYTES: Final = 4 * 1024 * 1024


@dataclass(kw_only=True, slots=True)
class ExportFile:
    """The lines of an export; `user_id`, from the end line, and `keys` are known after all events were read."""

    path: Path
    user_id: str | None = None
    keys: list[FileKey] = field(default_factory=list)

    def events(self) -> Iterator[list[FileEvent]]:
        """Yield the events in chunks, and check the end line after the last.

        Raises:
            ExportError: a line is no event or out of order, or the end line is missing or does not match.
        """
        digest, count, chunk, size, end, users = sha256(), 0, list[FileEvent](), 0, None, ["", ""]
        with self.path.open("rb") as lines:
            for number, line in enumerate(iter(partial(lines.readline, LONGEST_LINE + 1), b""), start=1):
                if end is not None:
                    raise ExportError(f"line {number} comes after the end line")
                read = read_line(line, number)
                if not isinstance(read, FileEvent | FileKey):
                    end = read
                    continue
                users = self._in_order(read, number, users)
                digest.update(line)
                if isinstance(read, FileKey):
                    self.keys.append(read)
                    continue
                count += 1
                chunk.append(read)
                size += len(line)
                if len(chunk) == _CHUNK or size > _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk
        self._check_end(end, (count, digest.hexdigest()), users)

    def _in_order(self, read: FileEvent | FileKey, number: int, users: list[str]) -> list[str]:
        """Return the first user and the last one so far; refuse a line that is out of order."""
        first, last = users
        if isinstance(read, FileKey) and read.user_id != last:
            raise ExportError(
                f"line {number} has an idempotency key of {read.user_id}, but the events are another user's"
            )
        if isinstance(read, FileEvent) and self.keys:
            raise ExportError(f"line {number} is out of order: an event comes after the idempotency keys")
        if read.user_id < last:
            raise ExportError(f"line {number} is out of order: user {read.user_id} comes after {last}")
        return [first or read.user_id, read.user_id]

    def _check_end(self, end: Mapping[str, Any] | None, found: tuple[int, str], users: list[str]) -> None:
        if end is None:
            raise ExportError("the end line is missing: the export was cut or is not finished")
        if (end["events"], end["sha256"]) != found:
            raise ExportError("the end line does not match the lines before it")
        if end["user_id"] is not None and users != [end["user_id"]] * 2:
            raise ExportError("the end line names a user, but the events are another user's")
        if end["user_id"] is None and self.keys:
            raise ExportError("idempotency keys are only in an export of one user")
        self.user_id = end["user_id"]


@dataclass(kw_only=True, slots=True)
class Proof:
    """Checks the streams of an export; `faults` holds the first fault of each user, with its line number."""

    anchors: Anchors = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    story: Story = field(default_factory=Story)
    _chain: Chain = field(init=False)
    _lines: int = 0
    _first: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin the chain."""
        self._chain = Chain(anchors=self.anchors)

    def feed(self, events: list[FileEvent]) -> None:
        """Check more events."""
        for event in events:
            self._lines += 1
            if event.user_id not in self._first:
                self._first[event.user_id] = self._lines
        self._chain.feed([event.link() for event in events])
        self.story.feed((*event[:4], event.type, event.schema_version) for event in events)

    def complete(self, current: str | None) -> Iterator[tuple[str, Head]]:
        """Finish the streams of all users but `current`, whose events may continue; yield their ids and heads."""
        for user_id, head in list(self._chain.heads.items()):
            if user_id != current:
                self._chain.finish(user_id)
                self._note(user_id)
                yield user_id, head

    def _note(self, user_id: str) -> None:
        """Keep the first fault of a user whose stream has ended."""
        first = self._first.pop(user_id)
        last = min(self._first.values(), default=self._lines + 1) - 1
        found = [faults.pop(user_id) for faults in (self._chain.faults, self.story.faults) if user_id in faults]
        for fault in sorted(found, key=lambda fault: fault.position or 0)[:1]:
            line = min(first + (fault.position or 1) - 1, last)
            self.faults.append(replace(fault, reason=f"{fault.reason} (line {line})"))


def verify_file(path: Path, *, anchors: Anchors | None = None, progress: Progress = lambda _: None) -> Report:
    """Check an export without a database: its lines, chains, stories, anchors and end line.

    Raises:
        ExportError: the file is not a complete export.
    """
    given, anchors = anchors, anchors or {}
    report, proof, file, anchored = Report(), Proof(anchors=anchors), ExportFile(path=path), set[str]()

    def end_streams(current: str | None) -> None:
        for user_id, _ in proof.complete(current):
            report.streams += 1
            if user_id in anchors:
                anchored.add(user_id)

    for events in file.events():
        proof.feed(events)
        report.events += len(events)
        end_streams(events[-1].user_id)
        progress(len(events))
    end_streams(None)
    report.faults += proof.faults
    wanted = {user: heads for user, heads in anchors.items() if file.user_id in {None, user}}
    report.faults += gone(wanted, anchored)
    report.anchors = None if given is None else sum(map(len, wanted.values()))
    return report


def total_events(path: Path) -> int | None:
    """Return the number of events that the end line gives, for a progress bar; None without an end line."""
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

"""The hash chain of a stream: it shows any change, removal, insertion or reordering of events.

An event's hash is sha256 over ten lines of text: the previous hash (64 zeros for the first event), user, position,
task, version, event id, type, schema version, time, and the digest of its content; docs/audit.md checks one by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from event_log.codec import STREAM_ERASED
from event_log.long_texts import DATA

GENESIS: Final = "0" * 64
"""The hash before the first event."""

_TIME: Final = slice(-len("YYYY-MM-DDTHH:MM:SS.ssssssZ"), None)
"""Where the time is in a link's line. These texts sort in the order of time."""

_SCAN: Final = r"""
    -- Events in order, as `Link`s, with further columns for a replay.
    SELECT e.user_id, e.position,
           e.position || E'\n' || coalesce(e.task_id::text, '') || E'\n' || e.version || E'\n' || e.event_id || E'\n'
           || e.type || E'\n' || e.schema_version || E'\n'
           || coalesce(to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'no time') AS line,
           e.metadata::text AS metadata, {data}, encode(e.erased_digest, 'hex') AS erased_digest,
           encode(e.hash, 'hex') AS hash, e.type, e.task_id, e.version, e.schema_version,
           greatest('0002-01-01Z', least(e.recorded_at, '9998-12-31Z')) AS recorded_at -- as Python's calendar ends
    FROM tasklog.events e WHERE {where} ORDER BY e.user_id, e.position
"""

SCAN_RANGE: Final = _SCAN.format(data=DATA, where="e.user_id >= $1 AND e.user_id <= $2")
"""The events of all users from $1 to $2."""

SCAN_AFTER: Final = _SCAN.format(data=DATA, where="e.user_id = $1 AND e.position > $2")
"""The events of one user after a position."""

SCAN_USER: Final = _SCAN.format(data=DATA, where="e.user_id = $1")
"""The events of one user."""


class Link(NamedTuple):
    """The part of an event that goes into the chain; `line` holds the seven lines from position to time."""

    user_id: str
    position: int
    line: str
    metadata: str | None
    data: str | None
    erased_digest: str | None
    hash: str
    type: str


class Head(NamedTuple):
    """The position, hash and time of a stream's last event."""

    position: int = 0
    hash: str = GENESIS
    recorded_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """The first position of a user's stream, or of its projection, that is wrong.

    A fault of the schema has neither user nor position.
    """

    user_id: str | None
    position: int | None
    reason: str


@dataclass(kw_only=True, slots=True)
class Chain:
    """Checks links, which must come in order of user and position; `faults` holds the first fault of each user."""

    faults: dict[str, Fault] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    anchors: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    _textless: dict[str, list[int]] = field(default_factory=dict)

    def feed(self, links: Iterable[Link]) -> None:
        """Check more links, or plain tuples with the same members."""
        user, (position, digest, time) = None, Head()
        for link in links:
            if link[0] != user:
                if user is not None:
                    self.heads[user] = Head(position, digest, time)
                user = link[0]
                position, digest, time = self.heads.get(user, Head())
            if user in self.faults:
                self._look_behind_fault(link)
                continue
            before, time = time, link[2][_TIME]
            digest = self._check(link, position, digest)
            position = link[1]
            if time < before:
                self.fault(user, position, f"the time runs back, from {before} to {time}")
        if user is not None:
            self.heads[user] = Head(position, digest, time)

    def _check(self, link: Link, before: int, digest: str) -> str:
        user, position, line, metadata, data, erased_digest, stored, kind = link
        if position != before + 1:
            self.fault(user, before + 1, f"the event is missing: position {position} follows {before}")
            return digest
        content = erased_digest or sha256(f"{metadata}\n{data}".encode()).hexdigest()
        digest = sha256(f"{digest}\n{user}\n{line}\n{content}".encode()).hexdigest()
        if digest != stored:
            self.fault(user, position, "the event does not match its hash")
        elif self.anchors and self.anchors.get(user, {}).get(position, digest) != digest:
            self.fault(user, position, "the stream was rewritten: the hash is not the anchored one")
        elif erased_digest is not None:
            self._textless.setdefault(user, []).append(position)
            if metadata is not None or data is not None:
                self.fault(user, position, "the event was erased, yet it has text again")
        elif kind == STREAM_ERASED:
            self._excuse(user, data)
        return digest

    def _look_behind_fault(self, link: Link) -> None:
        """Read erasures after a fault: they still explain earlier events without text."""
        user, _, _, _, data, erased_digest, _, kind = link
        if kind == STREAM_ERASED and erased_digest is None:
            self._excuse(user, data)

    def _excuse(self, user: str, data: str | None) -> None:
        """Note that an erasure explains why the events up to its position have no text."""
        with suppress(orjson.JSONDecodeError):
            match orjson.loads(data or "null"):
                case {"through": int(through)} if user in self._textless:
                    self._textless[user] = [position for position in self._textless[user] if position > through]

    def fault(self, user_id: str, position: int, reason: str) -> None:
        """Record a user's fault, unless one at a lower position is already recorded."""
        known = self.faults.get(user_id)
        if known is None or known.position is None or position < known.position:
            self.faults[user_id] = Fault(user_id=user_id, position=position, reason=reason)

    def finish(self, user_id: str, head: Head | None = None) -> None:
        """Check the end of a stream: the recorded head fits, no tail was cut, and all missing text was erased."""
        last = self.heads.pop(user_id, Head())
        position = last.position
        if unrecorded := self._textless.pop(user_id, []):
            self.fault(user_id, unrecorded[0], "the text was removed without an erasure being recorded")
        head = head or last
        if head.position != position:
            start = min(position, head.position) + 1
            self.fault(user_id, start, f"the stream ends at {position}, its head is {head.position}")
        elif head.hash != last.hash:
            self.fault(user_id, position, "the stream's head does not have the hash of its last event")
        elif head.recorded_at != last.recorded_at:
            self.fault(user_id, position, f"the stream's head has the time {head.recorded_at}, not its last event's")
        for anchored in self.anchors.get(user_id, ()):
            if anchored > position:
                self.fault(user_id, position + 1, f"the tail was cut: position {anchored} is anchored")

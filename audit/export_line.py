"""Reading one line of an export: exactly as `export` writes it, and within the API's own rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from domain.events import TaskAdopted, TaskCreated, TaskEdited
from domain.fields import RULES, given
from event_log.chain import Link
from event_log.codec import STREAM_ERASED, UnreadableEventError, canonical_json, decode, encode
from event_log.story import LARGEST_TASK_ID
from event_log.user_id import is_user_id

LONGEST_LINE: Final = 8 * 1024 * 1024
"""In bytes. The data of an event take at most 1 MiB, and escaping can make them four times as long."""

_TEXT_BYTES: Final = 1024 * 1024
"""The longest data and metadata, in bytes: the API's limit for a body."""

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NONCE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
_METADATA: Final = ("actor", "nonce", "request_id")
_END: Final = {"end": bool, "user_id": str | None, "events": int, "exported_at": str, "sha256": str}


class ExportError(Exception):
    """The file is not a complete export, or it cannot be imported: one sentence that says why."""


class FileEvent(NamedTuple):
    """A line of an export, in the order of its members."""

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
        """Return the event as a link of its chain."""
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
        """Return the event as a row of `events`."""
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


class FileKey(NamedTuple):
    """A line of an export of one user, after the events: an idempotency key of the last 24 hours."""

    user_id: str
    key: str
    fingerprint: str
    task_id: int
    version: int
    recorded_at: str
    position: int | None

    def record(self) -> tuple[object, ...]:
        """Return the key as a row of `idempotency_keys`."""
        at = datetime.fromisoformat(self.recorded_at)
        return (*self[:2], bytes.fromhex(self.fingerprint), self.task_id, self.version, at, self.position)


COLUMNS: Final = FileEvent._fields
KEY_COLUMNS: Final = FileKey._fields
_KEY_TYPES: Final = (str, str, str, int, int, str, int | None)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_TYPES: Final = (str, int, int | None, int, str, str, int, str, str | None, str | None, str | None, str)


def read_line(line: bytes, number: int) -> FileEvent | FileKey | Mapping[str, Any]:
    """Return the event or the idempotency key of a line, or the members of the end line.

    Raises:
        ExportError: no export writes this line.
    """
    try:
        values = _parsed(line)
        if values.get("end") is True:
            return _checked_end(values)
        return _checked_key(values) if tuple(values) == KEY_COLUMNS else _checked_event(values)
    except _Unfit as error:
        raise ExportError(f"line {number} {error}") from None
    except UnreadableEventError as error:
        raise ExportError(f"line {number} cannot be read: {error}") from None


class _Unfit(Exception):  # noqa: N818 - raised and caught here
    """What is wrong with a line; the message follows the line's number."""


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise _Unfit(f"is longer than {LONGEST_LINE // 2**20} MiB")
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _Unfit("is not JSON") from None
    if not isinstance(values, dict):
        raise _Unfit("is not an event of an export")
    if orjson.dumps(values) + b"\n" != line:
        raise _Unfit(
            "is not in the exact form of an export: it has a blank, an escape, a repeated member, or another line end"
        )
    return values


def _checked_event(values: Mapping[str, Any]) -> FileEvent:
    if tuple(values) != COLUMNS or not _are(values, _TYPES):
        raise _Unfit("is not an event of an export")
    event = FileEvent(**values)
    _check(event)
    return event


def _checked_key(values: Mapping[str, Any]) -> FileKey:
    if not _are(values, _KEY_TYPES):
        raise _Unfit("is not an idempotency key of an export")
    key = FileKey(**values)
    fits = _KEY.fullmatch(key.key) and _DIGEST.fullmatch(key.fingerprint) and _is_time(key.recorded_at)
    in_range = 0 < key.task_id <= LARGEST_TASK_ID and 0 < key.version < 2**31
    if not (is_user_id(key.user_id) and fits and in_range and (key.position is None or 0 < key.position < 2**63)):
        raise _Unfit("has an idempotency key that no command could have written")
    return key


def _are(values: Mapping[str, Any], types: tuple[Any, ...]) -> bool:
    """Return whether all values have these types; a boolean does not count as a number."""
    return all(
        isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        for value, kind in zip(values.values(), types, strict=True)
    )


def _checked_end(values: Mapping[str, Any]) -> Mapping[str, Any]:
    fits = tuple(values) == tuple(_END) and _are(values, tuple(_END.values()))
    if not fits or not _is_end_time(values["exported_at"]):
        raise _Unfit("is not the end line of an export")
    return values


def _is_end_time(text: str) -> bool:
    try:
        return (
            text.endswith("Z")
            and orjson.dumps(datetime.fromisoformat(text), option=orjson.OPT_UTC_Z).decode() == f'"{text}"'
        )
    except ValueError:
        return False


def _check(event: FileEvent) -> None:
    """Refuse an event that no ledger can hold, whatever comes before it."""
    if not is_user_id(event.user_id):
        raise _Unfit("has a user id that no user can have")
    if event.task_id is not None and not 0 < event.task_id <= LARGEST_TASK_ID:
        raise _Unfit("has a task id that is not between 1 and 2^53 - 1")
    if not (0 < event.position < 2**63 and 0 < event.version < 2**31):
        raise _Unfit("has a position or version that no event has")
    if not _is_uuid(event.event_id):
        raise _Unfit("has an event_id that is no UUID in small letters")
    if not _is_time(event.recorded_at):
        raise _Unfit("has a recorded_at that is no time in UTC with six digits behind the second")
    if not all(_DIGEST.fullmatch(digest) for digest in (event.hash, event.erased_digest) if digest is not None):
        raise _Unfit("has a hash or erased_digest that is not 64 digits in hex")
    if (event.data is None, event.metadata is None) != (event.erased_digest is not None,) * 2:
        raise _Unfit("must have data and metadata, or only an erased_digest")
    if event.metadata is not None:
        _check_metadata(event.metadata, event.position)
    _check_data(event)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    try:
        return _TIME.fullmatch(text) is not None and datetime.fromisoformat(text).year > 0
    except ValueError:
        return False


def _canonical(name: str, text: str) -> dict[str, Any]:
    """Return the members of a JSON object that is written canonically, without NUL."""
    try:
        values = orjson.loads(text) if len(text.encode()) <= _TEXT_BYTES else None
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        values = None
    if not isinstance(values, dict) or canonical_json(values) != text or "\\u0000" in text:
        raise _Unfit(f"has {name} that no command could have written")
    return values


def _check_metadata(text: str, position: int) -> None:
    values = _canonical("metadata", text)
    undoes, continues = values.pop("undoes", None), values.pop("continues", True)
    traceparent = values.pop("traceparent", None)
    strings = all(isinstance(value, str) for value in values.values())
    fits = continues is True and (undoes is None or (type(undoes) is int and 0 < undoes < position))
    fits = fits and (traceparent is None or (type(traceparent) is str and bool(_TRACEPARENT.fullmatch(traceparent))))
    if tuple(values) != _METADATA or not strings or not _NONCE.fullmatch(values["nonce"]) or not fits:
        raise _Unfit("has metadata that no command could have written")


def _check_data(event: FileEvent) -> None:
    values = None if event.data is None else _canonical("data", event.data)
    if event.type == STREAM_ERASED:
        through = None if values is None else values.get("through")
        if values is None or [*values] != ["through"] or type(through) is not int:
            raise _Unfit("has data that no erasure could have written")
        if not 0 < through < event.position:
            raise _Unfit("erases events that come after it")
        return
    decoded = decode(event.type, event.schema_version, event.data)
    if isinstance(decoded, TaskAdopted) and event.data not in {None, encode(decoded)[2]}:
        raise _Unfit("has data that no adoption could have written")
    if isinstance(decoded, TaskCreated | TaskAdopted | TaskEdited):
        fields = given(decoded)
        if values is not None and not fields:
            raise _Unfit("is an edit that changes nothing")
        for name, value in fields.items():
            if (fits := RULES.get(name)) is not None and not fits(value):
                raise _Unfit(f"has a {name} that no command leads to")

"""Exports built by hand, with hashes that are right for any content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_EMPTY = {"data": "{}", "metadata": '{"actor":"alice","nonce":"00112233445566778899aabbccddeeff","request_id":"r"}'}


def event(user: str, position: int, task: int | None, version: int, kind: str, **other: Any) -> Event:
    """Return an event as in a line of an export, without a hash."""
    made = {"user_id": user, "position": position, "task_id": task, "version": version}
    made["event_id"] = f"01a2070d-c7b1-7824-aaf8-{position:012x}"
    made |= {"type": kind, "schema_version": 2 if kind == "task.created" else 1}
    made["recorded_at"] = f"2026-11-23T06:17:{position:02}.346505Z"
    return made | _EMPTY | {"erased_digest": None} | other


def two_streams() -> list[Event]:
    """Return four events of alice and two of bob."""
    milk = '{"description":null,"title":"Milk"}'
    return [
        event("alice", 1, 1, 1, "task.created", data=milk),
        event("alice", 2, 3, 1, "task.created", data=milk),
        event("alice", 3, 1, 2, "task.edited", data='{"title":"Oat milk"}'),
        event("alice", 4, 1, 3, "task.completed"),
        event("bob", 1, 2, 1, "task.created", data=milk),
        event("bob", 2, 2, 2, "task.deleted"),
    ]


def lines_of(events: Iterable[Event]) -> list[bytes]:
    """Return the lines of events, each with the right hash."""
    lines, user, previous = [], None, ""
    for one in events:
        if one["user_id"] != user:
            user, previous = one["user_id"], "0" * 64
        task = "" if one["task_id"] is None else one["task_id"]
        content = one["erased_digest"] or _sha256(f"{one['metadata']}\n{one['data']}")
        names = ("version", "event_id", "type", "schema_version", "recorded_at")
        fields = [previous, user, one["position"], task, *(one[name] for name in names), content]
        previous = _sha256("\n".join(map(str, fields)))
        lines.append(_json(one | {"hash": previous}))
    return lines


def write_export(path: Path, lines: list[bytes], end: Callable[[bytes], bytes] = lambda line: line) -> None:
    """Write lines and their end line, changed by `end`."""
    body = b"".join(lines)
    last = {"end": True, "user_id": None, "events": len(lines), "exported_at": "2026-11-23T06:18:11.841983Z"}
    path.write_bytes(body + end(_json(last | {"sha256": sha256(body).hexdigest()})))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

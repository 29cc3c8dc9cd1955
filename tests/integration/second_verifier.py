"""A second verifier, written from docs/audit.md with only hashlib and json: it shares no code with the first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import asyncpg


async def first_bad_position(owner: asyncpg.Connection, user: str, anchors: Path | None = None) -> int | None:
    """Return the first position of a stream that is wrong, computed by hand; see docs/audit.md."""
    lines = [json.loads(line) for line in anchors.read_text().splitlines()] if anchors else []
    anchored = {line["position"]: line["hash"] for line in lines if line["user_id"] == user}
    rows = await owner.fetch("SELECT * FROM tasklog.events WHERE user_id = $1 ORDER BY position", user)
    previous, textless, position = "0" * 64, set[int](), 0
    for row in rows:
        if row["position"] != position + 1:
            return position + 1
        position = int(row["position"])
        previous = link(previous, row)
        if row["hash"].hex() != previous or anchored.get(position, previous) != previous:
            return position
        if row["erased_digest"] is not None:
            textless.add(position)
            if row["data"] is not None or row["metadata"] is not None:
                return position
        elif row["type"] == "stream.erased":
            through = int(row["data"].removeprefix('{"through":').removesuffix("}"))
            textless -= set(range(1, through + 1))
    if textless:
        return min(textless)
    stream = await owner.fetchrow("SELECT head, hash FROM tasklog.streams WHERE user_id = $1", user)
    head, digest = (stream["head"], stream["hash"].hex()) if stream else (0, "0" * 64)
    if head != position or max(anchored, default=0) > position:
        return min(head, position) + 1
    return None if digest == previous else position


def link(previous: str, row: Any) -> str:
    content = row["erased_digest"].hex() if row["erased_digest"] else sha256(f"{row['metadata']}\n{row['data']}")
    task = "" if row["task_id"] is None else row["task_id"]
    at = row["recorded_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = [previous, row["user_id"], row["position"], task, row["version"], row["event_id"], row["type"]]
    return sha256("\n".join(map(str, [*fields, row["schema_version"], at, content])))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

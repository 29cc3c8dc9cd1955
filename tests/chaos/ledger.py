"""What is stored at the end: the ledger, the heads, the read table and the checkpoints, read as the superuser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from tests.chaos.fold import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Everything in one snapshot; `parked` are users whose projection is expected to stand still."""

    streams: dict[str, list[Event]]
    heads: dict[str, tuple[int, str]]
    checkpoints: dict[str, int]
    rows: dict[tuple[str, int], dict[str, Any]]
    parked: frozenset[str] = frozenset()


async def read_stored(url: str, parked: frozenset[str] = frozenset(), unread: frozenset[str] = frozenset()) -> Stored:
    """Read everything except the users `unread`, who have more data than the tests have memory for."""
    connection = await asyncpg.connect(url)

    async def fetch(select: str, order: str = "") -> list[Any]:
        return list(await connection.fetch(f"{select} WHERE user_id <> ALL ($1) {order}", unread))

    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            events = await fetch("SELECT * FROM tasklog.events", "ORDER BY user_id, position")
            heads = await fetch("SELECT user_id, head, encode(hash, 'hex') AS hash FROM tasklog.streams")
            checkpoints = await fetch("SELECT user_id, position FROM tasklog.checkpoints")
            rows = await fetch("SELECT * FROM tasklog.tasks")
    finally:
        await connection.close()
    streams: dict[str, list[Event]] = {row["user_id"]: [] for row in heads}
    for row in events:
        streams.setdefault(row["user_id"], []).append(_event(row))
    return Stored(
        streams=streams,
        heads={row["user_id"]: (row["head"], row["hash"]) for row in heads},
        checkpoints={row["user_id"]: row["position"] for row in checkpoints},
        rows={(row["user_id"], row["id"]): dict(row) for row in rows},
        parked=parked,
    )


def _event(row: Any) -> Event:
    return Event(
        user=row["user_id"],
        position=row["position"],
        task_id=row["task_id"],
        version=row["version"],
        event_id=str(row["event_id"]),
        type=row["type"],
        schema_version=row["schema_version"],
        data=orjson.loads(row["data"]),
        data_text=row["data"],
        metadata_text=row["metadata"],
        marker=orjson.loads(row["metadata"])["request_id"],
        recorded_at=row["recorded_at"],
        hash=row["hash"].hex(),
    )


async def lagging(url: str) -> list[str]:
    """Return the users whose projection is behind."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        rows = await connection.fetch("""
            SELECT s.user_id FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
            WHERE s.head > coalesce(c.position, 0)""")
    finally:
        await connection.close()
    return [row["user_id"] for row in rows]

"""Heartbeats of projectors: a hash in Redis by which `status` knows which ones run, and in which version."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final, cast
from uuid import uuid4

from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime.version import VERSION

_BEATS: Final = "tasklog:projectors"
_BEAT_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 15
"""A projector that was silent for longer, in seconds, no longer counts as running."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """A projector's last message: its version, and the time of Redis in seconds since 1970."""

    version: str
    at: int


_STORED: Final = TypeAdapter(Heartbeat)


async def beat_forever(redis: Redis) -> None:
    """Write a heartbeat every few seconds until cancelled. While Redis is away, nothing is written."""
    name = uuid4().hex
    try:
        while True:
            with suppress(RedisError, OSError):
                beat = Heartbeat(version=VERSION, at=await _now(redis))
                await cast(Awaitable[int], redis.hset(_BEATS, name, _STORED.dump_json(beat).decode()))
            await asyncio.sleep(_BEAT_SECONDS)
    finally:
        with suppress(RedisError, OSError):
            await cast(Awaitable[int], redis.hdel(_BEATS, name))


async def running_projectors(redis: Redis) -> list[Mapping[str, object]]:
    """Return version and time of each running projector's last heartbeat; remove those of silent projectors.

    Raises:
        RedisError, OSError: Redis is away.
    """
    stored = await cast(Awaitable[Mapping[bytes, bytes]], redis.hgetall(_BEATS))
    running: list[Mapping[str, object]] = []
    silent: list[str] = []
    now = await _now(redis)
    for name, value in stored.items():
        beat = _read(value)
        if beat is None or now - beat.at > _SILENT_SECONDS:
            silent.append(name.decode())
        else:
            running.append(asdict(beat))
    if silent:
        await cast(Awaitable[int], redis.hdel(_BEATS, *silent))
    return running


async def _now(redis: Redis) -> int:
    """Return the time of Redis, because the clocks of machines differ."""
    seconds, _ = await redis.time()
    return int(seconds)


def _read(stored: bytes) -> Heartbeat | None:
    try:
        return _STORED.validate_json(stored)
    except ValueError:
        return None

"""The states of operational jobs, running and finished: a hash in Redis, which may be lost at any time.

It holds no text of users: only names of jobs, user ids, paths, numbers, and reasons of faults.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson
from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

STATES: Final = "tasklog:job-states"
_KEPT: Final = 20
_BEAT_SECONDS: Final = 1.0
_SILENT_SECONDS: Final = 30


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(kw_only=True, slots=True)
class JobState:
    """One job: `state` is queued, running, done, failed or interrupted; `rate` is events per second."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state: str = "queued"
    queued_at: str = field(default_factory=_now)
    updated_at: str = field(default_factory=_now)
    done: int = 0
    total: int | None = None
    rate: float | None = None
    result: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def of_all_users(self) -> bool:
        """Return whether the job was for the whole ledger."""
        return self.arguments.get("user_id") is None

    async def write(self, redis: Redis) -> None:
        """Store the state, which `status` then shows; while Redis is away, nothing is stored."""
        self.updated_at = _now()
        with suppress(RedisError, OSError):
            await cast(Awaitable[int], redis.hset(STATES, self.id, orjson.dumps(asdict(self)).decode()))


_STORED: Final = TypeAdapter(JobState)
"""Reads a state, and ignores members that only another version knows."""


@dataclass(kw_only=True, slots=True)
class Meter:
    """Counts the events that a job has done; `total` is how many there are, if known."""

    done: int = 0
    total: int | None = None

    def __call__(self, events: int) -> None:
        """Count more events."""
        self.done += events


async def job_states(redis: Redis) -> list[JobState]:
    """Return the last jobs, newest first. A running job that was silent for too long is shown as interrupted.

    A state that cannot be read, because another version wrote it, is left out.

    Raises:
        RedisError, OSError: Redis is away.
    """
    read = map(_read, (await _stored(redis)).values())
    states = sorted((state for state in read if state is not None), key=lambda state: _time(state.queued_at))
    for state in states:
        age = datetime.now(UTC) - _time(state.updated_at)
        if state.state == "running" and age.total_seconds() > _SILENT_SECONDS:
            state.state = "interrupted"
    return states[::-1]


async def forget_old(redis: Redis) -> None:
    """Keep the last jobs, and for each name the last one that was done for all users and for one user."""
    with suppress(RedisError, OSError):
        states = await job_states(redis)
        done = {(state.name, state.of_all_users): state.id for state in reversed(states) if state.state == "done"}
        kept = {*done.values(), *(state.id for state in states[:_KEPT])}
        known = {state.id for state in states}
        unreadable = {key.decode() for key, value in (await _stored(redis)).items() if _read(value) is None}
        if old := (known - kept) | unreadable:
            await cast(Awaitable[int], redis.hdel(STATES, *old))


async def _stored(redis: Redis) -> Mapping[bytes, bytes]:
    return await cast(Awaitable[Mapping[bytes, bytes]], redis.hgetall(STATES))


def _read(stored: bytes) -> JobState | None:
    """Return a stored state, or None if this version cannot read it."""
    try:
        state = _STORED.validate_json(stored)
        zones = {_time(state.queued_at).tzinfo, _time(state.updated_at).tzinfo}
    except ValueError:
        return None
    return None if None in zones else state


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@asynccontextmanager
async def shown(redis: Redis, state: JobState, claim: str) -> AsyncIterator[Meter]:
    """Show a job as running, with its progress, and then how it ended: `state.result` or an error.

    The key `claim` prevents others from running it. The key is renewed while the job runs, and expires soon after a
    kill.
    """
    meter, began, over = Meter(), time.monotonic(), asyncio.Event()

    def measure() -> None:
        state.done, state.total = meter.done, meter.total
        state.rate = round(meter.done / max(time.monotonic() - began, 0.001), 1)

    async def beat() -> None:
        while not over.is_set():
            measure()
            with suppress(RedisError, OSError):
                await redis.expire(claim, _SILENT_SECONDS)
            await state.write(redis)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _BEAT_SECONDS)

    state.state, state.error, state.result = "running", None, None
    beating = asyncio.create_task(beat())
    try:
        yield meter
        state.state = "done"
    except asyncio.CancelledError:
        state.state = "interrupted"
        raise
    except Exception as error:
        state.state, state.error = "failed", type(error).__name__
        raise
    finally:
        # Let the last beat finish instead of cancelling it: its write could overtake ours, and redis-py may miss a
        # cancellation.
        over.set()
        await beating
        measure()
        await state.write(redis)
        await forget_old(redis)

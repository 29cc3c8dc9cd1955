"""What operational jobs are doing and how the last ones ended: a hash in Redis that may be lost at any time.

Nothing in it is anybody's text: names of jobs, users' ids, paths, numbers, and the reasons of faults.
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
    """One job: `state` is queued, running, done, failed or interrupted; `rate` is events a second."""

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

    async def write(self, redis: Redis) -> None:
        """Make it what `status` shows; while Redis is away, nobody sees it."""
        self.updated_at = _now()
        with suppress(RedisError, OSError):
            await cast(Awaitable[int], redis.hset(STATES, self.id, orjson.dumps(asdict(self)).decode()))


@dataclass(kw_only=True, slots=True)
class Meter:
    """Counts the events that a job has done; `total` is how many there are, where it is known."""

    done: int = 0
    total: int | None = None

    def __call__(self, events: int) -> None:
        """Count further events."""
        self.done += events


async def job_states(redis: Redis) -> list[JobState]:
    """The last jobs, newest first. One that is said to run, but was not heard of for long, was interrupted.

    Raises:
        RedisError, OSError: Redis is away.
    """
    stored = await cast(Awaitable[Mapping[bytes, bytes]], redis.hgetall(STATES))
    states = sorted((JobState(**orjson.loads(value)) for value in stored.values()), key=lambda state: state.queued_at)
    for state in states:
        age = datetime.now(UTC) - datetime.fromisoformat(state.updated_at)
        if state.state == "running" and age.total_seconds() > _SILENT_SECONDS:
            state.state = "interrupted"
    return states[::-1]


async def forget_old(redis: Redis) -> None:
    """Keep only the last jobs."""
    with suppress(RedisError, OSError):
        if old := [state.id for state in (await job_states(redis))[_KEPT:]]:
            await cast(Awaitable[int], redis.hdel(STATES, *old))


@asynccontextmanager
async def shown(redis: Redis, state: JobState, claim: str) -> AsyncIterator[Meter]:
    """Show a job as running while it does, with its progress, and then how it ended: `state.result` or an error.

    The key `claim` keeps others from running it: while the job runs it does not expire, and soon after a kill it does.
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
        # Not cancelled: what is on its way to Redis could come behind what follows, and redis-py may not hear of it.
        over.set()
        await beating
        measure()
        await state.write(redis)
        await forget_old(redis)

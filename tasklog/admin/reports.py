"""Reports of all processes with an admin port, in a Redis hash: the operators' page reads there what each has done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

from pydantic import TypeAdapter
from redis.exceptions import RedisError

from runtime.redis_client import cancelled
from runtime.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

_REPORTS: Final = "tasklog:reports"
REPORT_SECONDS: Final = 5.0
"""How often a process reports, in seconds."""
_SILENT_SECONDS: Final = 15
"""A process without a report for longer than this, in seconds, no longer counts as running."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What a process has done since its start: requests, those that failed (5xx), and projected events."""

    requests: int = 0
    failed: int = 0
    events: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process that reports: its service, its number if it is one of several workers, and its admin port."""

    service: str
    worker: int | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(Process):
    """A process's last report, at a time of Redis in seconds since 1970."""

    version: str
    at: int
    counted: Counted


_STORED: Final = TypeAdapter(Report)


@asynccontextmanager
async def reporting(redis: Redis | None, process: Process, count: Callable[[], Counted]) -> AsyncIterator[None]:
    """Report every few seconds while the block runs, and remove the report afterwards."""
    if redis is None:
        yield
        return
    task = asyncio.create_task(_report_forever(redis, process, count))
    try:
        yield
    finally:
        await cancelled(task)


async def _report_forever(redis: Redis, process: Process, count: Callable[[], Counted]) -> None:
    name = uuid4().hex
    try:
        while True:
            with suppress(RedisError, OSError):
                report = Report(**asdict(process), version=VERSION, at=await _now(redis), counted=count())
                await cast(Awaitable[int], redis.hset(_REPORTS, name, _STORED.dump_json(report).decode()))
            await asyncio.sleep(REPORT_SECONDS)
    finally:
        with suppress(RedisError, OSError):
            await cast(Awaitable[int], redis.hdel(_REPORTS, name))


async def reports(redis: Redis) -> Mapping[str, Report]:
    """Return the last report of each running process, by its name; forget silent ones.

    Raises:
        RedisError, OSError: Redis is away.
    """
    stored = await cast(Awaitable["Mapping[bytes, bytes]"], redis.hgetall(_REPORTS))
    now = await _now(redis)
    running: dict[str, Report] = {}
    silent: list[str] = []
    for name, value in stored.items():
        report = _read(value)
        if report is None or now - report.at > _SILENT_SECONDS:
            silent.append(name.decode())
        else:
            running[name.decode()] = report
    if silent:
        await cast(Awaitable[int], redis.hdel(_REPORTS, *silent))
    return running


async def processes(redis: Redis) -> list[Process]:
    """Return the running processes with an admin port, by service and number.

    Raises:
        RedisError, OSError: Redis is away.
    """
    found = [report for report in (await reports(redis)).values() if report.port is not None]
    found.sort(key=lambda report: (report.service, report.worker or 0, report.port or 0))
    return [Process(service=report.service, worker=report.worker, port=report.port) for report in found]


async def _now(redis: Redis) -> int:
    """Return the time of Redis, because the clocks of machines differ."""
    seconds, _ = await redis.time()
    return int(seconds)


def _read(stored: bytes) -> Report | None:
    try:
        return _STORED.validate_json(stored)
    except ValueError:
        return None

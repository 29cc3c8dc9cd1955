"""The projector: from a write's acknowledgement to its row, and how fast a backlog shrinks."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson

from bench.builds import THIS
from bench.wrk import token
from tasklog.embedded.child import end

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.lab import Lab

_CLIENTS: Final = 20
_PROBE_PAUSE: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Delay:
    """From acknowledged to projected, in ms, at the rate of appends that was reached; lists that lacked a write."""

    rate: float
    samples: int
    p50: float
    p99: float
    stale: int


class _Client:
    """HTTP over one connection, as simple as possible, so that the client costs less than what it measures."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> _Client:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def call(self, method: str, user: str, body: bytes = b"") -> bytes:
        head = f"{method} /api/{user}/tasks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token(user)}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await self._reader.readexactly(length)
        if answer[9:10] != b"2":
            raise SystemExit(f"Not acknowledged: {answer[:40]!r}")
        return content


async def delay(tasklog: Tasklog, *, rate: int, seconds: float) -> Delay:
    """Append by POST at a steady rate, while a probe follows single writes until they are projected."""
    done = asyncio.get_running_loop().time() + seconds
    appends = [_append(tasklog.url, f"steady-{n}", _CLIENTS / rate, done) for n in range(_CLIENTS)]
    probing = asyncio.create_task(_probe(tasklog, done))
    counts = await asyncio.gather(*appends)
    times, stale = await probing
    cuts = quantiles(times, n=100)
    return Delay(rate=(sum(counts) + len(times)) / seconds, samples=len(times), p50=cuts[49], p99=cuts[98], stale=stale)


async def _append(url: str, user: str, pause: float, done: float) -> int:
    client, clock, count = await _Client.open(url), asyncio.get_running_loop(), 0
    due = clock.time()
    while clock.time() < done:
        await client.call("POST", f"{user}-{count % 10}", b'{"title":"A title of an ordinary length"}')
        count += 1
        due += pause
        await asyncio.sleep(max(0, due - clock.time()))
    return count


async def _probe(tasklog: Tasklog, done: float) -> tuple[list[float], int]:
    """Return the delay of each write of one user in ms, and how many of the lists right after it lacked it."""
    client, user = await _Client.open(tasklog.url), f"probe-{time.time_ns()}"
    times: list[float] = []
    stale = 0
    while asyncio.get_running_loop().time() < done:
        made = orjson.loads(await client.call("POST", user, b'{"title":"Probe"}'))
        began = time.perf_counter()
        while await tasklog.ledger.position(user) <= len(times):
            await asyncio.sleep(0.0005)
        times.append((time.perf_counter() - began) * 1000)
        made_next = orjson.loads(await client.call("POST", f"{user}-read", b'{"title":"Probe"}'))
        listed = orjson.loads(await client.call("GET", f"{user}-read"))
        stale += listed[0]["id"] != made_next["id"] or made["id"] == made_next["id"]
        await asyncio.sleep(_PROBE_PAUSE)
    return times, stale


async def backlog(lab: Lab, tasklog: Tasklog, *, events: int) -> float:
    """Events a second of one projector process with a backlog: a quarter creations, the rest edits, 200 users."""
    await tasklog.settle()
    end(tasklog.projector, signal.SIGTERM, 10)
    users = [f"backlog-{time.time_ns()}-{n}" for n in range(200)]
    await tasklog.ledger.seed(users, events // 4 // len(users), edits=3)
    await lab.execute("CHECKPOINT")
    start = await tasklog.ledger.projected_events()
    tasklog.projector = lab.run(f"{tasklog.name}-projector", THIS.module("tasklog", "projector"), **tasklog.env)
    while (first := await tasklog.ledger.projected_events()) == start:
        await asyncio.sleep(0.005)
    began = time.perf_counter()
    while await tasklog.ledger.unprojected():
        await asyncio.sleep(0.005)
    took = time.perf_counter() - began
    return (await tasklog.ledger.projected_events() - first) / took

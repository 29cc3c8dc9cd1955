"""Front ends that listen: what an open stream costs, how soon a write is seen, and what polling would cost instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bench.live_calls import Row, single_calls
from bench.processes import cpu_seconds, cpu_seconds_below, memory
from bench.wrk import token

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.lab import Lab

OPEN: Final = 9_500
"""Open streams whose cost is measured: about as many as MAX_STREAMS allows."""
LISTENERS: Final = 1_000
WRITES_A_SECOND: Final = 1_000
_IDLE_SECONDS: Final = 15.0
_AT_ONCE: Final = 100
_CONNECTING_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, path: str, user: str, *headers: str) -> None:
        lines = (f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {token(user)}", *headers, "", "")
        self.writer.write("\r\n".join(lines).encode())


async def live(lab: Lab, tasklog: Tasklog) -> Sequence[Row]:
    """Measure; return rows of what, the figure, and what was asked for."""
    users = [f"live-{n}" for n in range(OPEN)]
    await tasklog.seed(users[:LISTENERS], 20)
    idle = await _idle_streams(lab, tasklog, users)
    seen = await _seen(tasklog, users[:LISTENERS])
    polling = await _polling(lab, tasklog, users[:LISTENERS])
    listening = await _listening(lab, tasklog, users[:LISTENERS])
    ratio = polling / max(listening, 0.001)
    return [
        *await single_calls(lab, tasklog),
        *idle,
        *seen,
        ("1,000 users poll the list (304): API and Postgres, % of a core", f"{100 * polling:.1f}", ""),
        ("1,000 users listen: API and Postgres, % of a core", f"{100 * listening:.2f}", ""),
        ("polling costs as much more", f"{ratio:.0f} ×", "20 ×"),
    ]


async def _idle_streams(lab: Lab, tasklog: Tasklog, users: Sequence[str]) -> list[Row]:
    pid = tasklog.gateway.pid
    before = memory(pid)
    clients = await _streams(tasklog, users)
    size = (memory(pid) - before) * 1024 / len(clients)
    cpu, _ = await _cpu(lab, tasklog, _IDLE_SECONDS)
    for client in clients:
        client.writer.close()
    return [
        (f"{len(clients):,} open streams: resident memory of each, KB", f"{size:.1f}", "25"),
        (f"{len(clients):,} idle streams: API, % of a core", f"{100 * cpu:.2f}", "3"),
    ]


async def _cpu(lab: Lab, tasklog: Tasklog, seconds: float) -> tuple[float, float]:
    """Return the shares of a core that the API and Postgres take for some seconds."""
    postgres = lab.postgres.process
    assert postgres is not None

    def now() -> tuple[float, float]:
        return cpu_seconds(tasklog.gateway.pid), cpu_seconds_below(postgres.pid)

    before = now()
    await asyncio.sleep(seconds)
    api, database = (after - earlier for after, earlier in zip(now(), before, strict=True))
    return api / seconds, database / seconds


async def _streams(tasklog: Tasklog, users: Sequence[str]) -> list[_Client]:
    """Open a stream for each user, and return when each has had its first event."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def opened(user: str) -> _Client:
        async with gate:
            client = await _connected(tasklog)
            client.ask(f"/api/{user}/changes/stream", user)
            await client.reader.readuntil(b"\n\n")
            return client

    async with asyncio.timeout(_CONNECTING_SECONDS):
        return list(await asyncio.gather(*map(opened, users)))


async def _connected(tasklog: Tasklog) -> _Client:
    where = urlsplit(tasklog.url)
    return _Client(*await asyncio.open_connection(where.hostname, where.port))


async def _seen(tasklog: Tasklog, users: Sequence[str]) -> list[Row]:
    """Write at a steady rate; measure from the begin of each request until the user's stream shows its title."""
    clients = await _streams(tasklog, users)
    begun: dict[bytes, float] = {}
    delays: list[float] = []

    async def listen(client: _Client) -> None:
        while True:
            event = await client.reader.readuntil(b"\n\n")
            now = time.perf_counter()
            titles = [part.partition(b'"')[0] for part in event.split(b'"title":"at ')[1:]]
            delays.extend(now - begun.pop(title) for title in titles if title in begun)

    listening = [asyncio.create_task(listen(client)) for client in clients]
    writers = await asyncio.gather(*(_connected(tasklog) for _ in range(_AT_ONCE)))
    seconds = 8
    began = time.perf_counter()
    await asyncio.gather(*(_write(writer, n, users, begun, seconds) for n, writer in enumerate(writers)))
    rate = (len(begun) + len(delays)) / (time.perf_counter() - began)
    await asyncio.sleep(2)
    for task in listening:
        task.cancel()
    for client in [*clients, *writers]:
        client.writer.close()
    cuts = quantiles(delays, n=100)
    return [
        (f"{rate:,.0f} writes/s, {len(users):,} listeners: seen after ms, p50", f"{1000 * cuts[49]:.1f}", "10"),
        ("the same, p99", f"{1000 * cuts[98]:.1f}", "50"),
        ("the same, writes that were not seen within 2 s", str(len(begun)), "0"),
    ]


async def _write(client: _Client, number: int, users: Sequence[str], begun: dict[bytes, float], seconds: int) -> None:
    """Send a share of the writes, each at its time, as long as the service keeps up."""
    pause, start = _AT_ONCE / WRITES_A_SECOND, time.perf_counter()
    for n in range(int(seconds / pause)):
        await asyncio.sleep(start + (n + number / _AT_ONCE) * pause - time.perf_counter())
        user, title = users[(n * _AT_ONCE + number) % len(users)], f"{number}-{n}".encode()
        body = b'{"title":"at %b"}' % title
        begun[title] = time.perf_counter()
        head = (
            f"POST /api/{user}/tasks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token(user)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.writer.write(head.encode() + body)
        await _answer(client)


async def _answer(client: _Client) -> bytes:
    """Read an answer; return its head."""
    head = await client.reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await client.reader.readexactly(int(line.partition(b":")[2]))
    return head


async def _polling(lab: Lab, tasklog: Tasklog, users: Sequence[str]) -> float:
    """Return the share of a core that a list per user and second takes, answered by 304."""

    async def poll(number: int, user: str) -> None:
        client, tag = await _connected(tasklog), ""
        await asyncio.sleep(number / len(users))
        while True:
            started = time.perf_counter()
            client.ask(f"/api/{user}/tasks", user, *([f"If-None-Match: {tag}"] if tag else []))
            lines = (await _answer(client)).decode().split("\r\n")
            tag = next(line.partition(": ")[2] for line in lines if line.lower().startswith("etag"))
            await asyncio.sleep(started + 1 - time.perf_counter())

    polls = [asyncio.create_task(poll(n, user)) for n, user in enumerate(users)]
    await asyncio.sleep(4)
    shares = await _cpu(lab, tasklog, _IDLE_SECONDS)
    for task in polls:
        task.cancel()
    return sum(shares)


async def _listening(lab: Lab, tasklog: Tasklog, users: Sequence[str]) -> float:
    """Return the share of a core that as many idle streams take."""
    clients = await _streams(tasklog, users)
    await asyncio.sleep(2)
    shares = await _cpu(lab, tasklog, _IDLE_SECONDS)
    for client in clients:
        client.writer.close()
    return sum(shares)

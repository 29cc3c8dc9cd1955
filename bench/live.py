"""Front ends that listen: what an open stream costs, how soon a write is seen, and what polling would cost instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bench.bars import Row, at_least, at_most
from bench.live_calls import single_calls
from bench.processes import cpu_seconds, cpu_seconds_below, memory
from bench.wal import flushes
from bench.wrk import token

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.lab import Lab

OPEN: Final = 10_000
"""Open streams whose cost is measured: as many as MAX_STREAMS allows."""
LISTENERS: Final = 1_000
WRITES_A_SECOND: Final = 1_000
_IDLE_SECONDS: Final = 15.0
_AT_ONCE: Final = 100
_CONNECTING_SECONDS: Final = 300.0
_WRITING_SECONDS: Final = 8
_WARM_UP_SECONDS: Final = 3


@dataclass(slots=True)
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, path: str, user: str, *headers: str) -> None:
        lines = (f"GET {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {token(user)}", *headers, "", "")
        self.writer.write("\r\n".join(lines).encode())


async def live(lab: Lab, tasklog: Tasklog) -> Sequence[Row]:
    """Measure everything that is asked of front ends that listen, and return the rows."""
    users = [f"live-{n}" for n in range(OPEN)]
    await tasklog.seed(users[:LISTENERS], 20)
    idle = await _idle_streams(lab, tasklog, users)
    seen = await _seen(tasklog, users[:LISTENERS])
    polling = await _polling(lab, tasklog, users[:LISTENERS])
    listening = await _listening(lab, tasklog, users[:LISTENERS])
    ratio = sum(polling) / max(sum(listening), 0.0001)
    return [
        *await single_calls(lab, tasklog),
        *idle,
        *seen,
        Row(f"{LISTENERS:,} users poll the list (304): API + Postgres, % of a core", _shares(polling)),
        Row(f"{LISTENERS:,} users listen: API + Postgres, % of a core", _shares(listening)),
        at_least("polling by the CPU time of listening", ratio, 20, f"{ratio:.0f} ×"),
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
        at_most(f"{len(clients):,} open streams: resident memory of each, KB", size, 25, f"{size:.1f}"),
        at_most(f"{len(clients):,} idle streams: API, % of a core", 100 * cpu, 3, f"{100 * cpu:.2f}"),
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


@dataclass(slots=True)
class _Writes:
    """The writes of a time: when those began that were not seen yet, by title, and delays in seconds.

    `late` is by how much the client itself began after the time that was meant: what it adds to the other delays.
    """

    begun: dict[bytes, float] = field(default_factory=dict)
    seen: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


async def _seen(tasklog: Tasklog, users: Sequence[str]) -> list[Row]:
    """Write at a steady rate; measure from the begin of each request until the user's stream shows its title."""
    clients = await _streams(tasklog, users)
    warm_up, writes = _Writes(), _Writes()

    async def listen(client: _Client) -> None:
        while True:
            event = await client.reader.readuntil(b"\n\n")
            now = time.perf_counter()
            titles = [part.partition(b'"')[0] for part in event.split(b'"title":"at ')[1:]]
            writes.seen.extend(now - writes.begun.pop(title) for title in titles if title in writes.begun)

    listening = [asyncio.create_task(listen(client)) for client in clients]
    writers = await asyncio.gather(*(_connected(tasklog) for _ in range(_AT_ONCE)))
    await _write_all(writers, users, warm_up, _WARM_UP_SECONDS, b"first ")
    number, spent = await flushes(tasklog.ledger.owner)
    began = time.perf_counter()
    await _write_all(writers, users, writes, _WRITING_SECONDS, b"at ")
    seconds = time.perf_counter() - began
    rate = (len(writes.begun) + len(writes.seen)) / seconds
    after = await flushes(tasklog.ledger.owner)
    await asyncio.sleep(2)
    for task in listening:
        task.cancel()
    for client in [*clients, *writers]:
        client.writer.close()
    flushed, each = after[0] - number, (after[1] - spent) / max(1, after[0] - number)
    return [
        at_least(f"writes/s beside {len(users):,} listeners", rate, 0.97 * WRITES_A_SECOND, f"{rate:,.0f}"),
        *_delays(writes),
        at_most("writes that were not seen within 2 s", len(writes.begun), 0, str(len(writes.begun))),
        Row("Postgres flushes its log meanwhile", f"{flushed / seconds:.0f} times a second, {each:.1f} ms each"),
    ]


def _delays(writes: _Writes) -> list[Row]:
    seen, own, late = (
        [1000 * cut for cut in quantiles(found, n=100)] for found in (writes.seen, writes.answered, writes.late)
    )
    return [
        at_most("a write is seen by its user's listener after ms, p50", seen[49], 10, f"{seen[49]:.1f}"),
        at_most("the same, p99", seen[98], 50, f"{seen[98]:.1f}"),
        Row("the writer itself has its answer after ms, p50 and p99", f"{own[49]:.1f} and {own[98]:.1f}"),
        Row("the measuring client itself is late by ms, p50 and p99", f"{late[49]:.1f} and {late[98]:.1f}"),
    ]


async def _write_all(
    writers: Sequence[_Client], users: Sequence[str], writes: _Writes, seconds: int, begin: bytes
) -> None:
    """Write for some seconds, each writer a share; titles start with `begin`."""
    start = time.perf_counter()
    shares = (_write(writer, n, users, writes, start, seconds, begin) for n, writer in enumerate(writers))
    await asyncio.gather(*shares)


async def _write(  # noqa: PLR0913, PLR0917 - what all writers share
    client: _Client, number: int, users: Sequence[str], writes: _Writes, start: float, seconds: int, begin: bytes
) -> None:
    """Send a share of the writes, each at its time, as long as the service keeps up."""
    pause = _AT_ONCE / WRITES_A_SECOND
    free = 0.0
    for n in range(int(seconds / pause)):
        meant = start + (n + number / _AT_ONCE) * pause
        await asyncio.sleep(meant - time.perf_counter())
        user, title = users[(n * _AT_ONCE + number) % len(users)], f"{number}-{n}".encode()
        body = b'{"title":"%b%b"}' % (begin, title)
        head = (
            f"POST /api/{user}/tasks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token(user)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        sent = writes.begun[title] = time.perf_counter()
        writes.late.append(sent - max(meant, free))  # a writer that still waited for its last answer is not late
        client.writer.write(head.encode() + body)
        await _answer(client)
        free = time.perf_counter()
        writes.answered.append(free - sent)


async def _answer(client: _Client) -> bytes:
    """Read an answer; return its head."""
    head = await client.reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await client.reader.readexactly(int(line.partition(b":")[2]))
    return head


def _shares(both: tuple[float, float]) -> str:
    return " + ".join(f"{100 * share:.2f}" for share in both)


async def _polling(lab: Lab, tasklog: Tasklog, users: Sequence[str]) -> tuple[float, float]:
    """Return the shares of a core that a list per user and second takes, answered by 304."""

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
    return shares


async def _listening(lab: Lab, tasklog: Tasklog, users: Sequence[str]) -> tuple[float, float]:
    """Return the shares of a core that as many idle streams take."""
    clients = await _streams(tasklog, users)
    await asyncio.sleep(2)
    shares = await _cpu(lab, tasklog, _IDLE_SECONDS)
    for client in clients:
        client.writer.close()
    return shares

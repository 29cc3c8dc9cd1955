"""Point 17 of the contract beside faults: Redis killed, a restore, several processes, a client that does not read.

Seen to fail: without the look for moved heads, and with streams that a shutdown does not end.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.valkey import Valkey
from tests.e2e.contract import assert_problem, create
from tests.servers import RunningService, Servers, eventually, run_async, running_service, token
from tests.streams import Stream, opened

SECONDS = 3.0
"""How soon a change must be seen, in seconds; it takes less than 1 s on a machine that is not busy."""
_PROJECTED = "SELECT FROM tasklog.streams WHERE user_id = $1 AND unprojected_since IS NULL"
_TAKE_BACK = """
    WITH lost AS (DELETE FROM tasklog.events WHERE user_id = $1 AND position > 1),
         rows AS (DELETE FROM tasklog.tasks WHERE user_id = $1),
         checkpoint AS (DELETE FROM tasklog.checkpoints WHERE user_id = $1)
    UPDATE tasklog.streams s SET head = 1, hash = e.hash, recorded_at = e.recorded_at, unprojected_since = now()
    FROM tasklog.events e WHERE s.user_id = $1 AND e.user_id = $1 AND e.position = 1
"""


class Pair(NamedTuple):
    """Two gateways on one database, and their Redis."""

    one: RunningService
    other: RunningService
    valkey: Valkey


@pytest.fixture(scope="module")
def pair(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    data_dir = open_data_dir(directory / "data")
    valkey = Valkey(data_dir, socket_dir(data_dir))
    with ExitStack() as stack:
        stack.callback(valkey.stop, timeout=2)
        valkey.start()
        database = stack.enter_context(servers.cloned())
        services = [
            stack.enter_context(running_service(database, valkey.url, directory / f"{name}.log")) for name in "ab"
        ]
        yield Pair(services[0], services[1], valkey)


def sees(stream: Stream, title: str) -> float:
    """Return after how many seconds a stream shows a task with this title."""
    began = time.monotonic()
    for event in stream.events():
        if any(task["title"] == title for task in event.data["tasks"]):
            return time.monotonic() - began
    raise AssertionError("the stream ended before")


def test_17_streams_of_every_process_show_what_any_process_writes(pair: Pair, user: str) -> None:
    with opened(pair.one.url, user) as here, opened(pair.other.url, user) as there:
        assert [stream.next().data["tasks"] for stream in (here, there)] == [[], []]
        for n, service in enumerate((pair.one, pair.other)):
            create(service.client(user), f"/api/{user}/tasks", f"task {n}")
            assert max(sees(stream, f"task {n}") for stream in (here, there)) < SECONDS


def test_17_a_redis_that_is_killed_delays_changes_by_a_second_at_most(pair: Pair, user: str) -> None:
    client, path = pair.one.client(user), f"/api/{user}/tasks"
    with opened(pair.other.url, user) as stream:
        stream.next()
        create(client, path, "before")
        assert sees(stream, "before") < SECONDS
        assert pair.valkey.process is not None
        pair.valkey.process.kill()
        pair.valkey.process.wait(10)
        took = []
        for n in range(3):
            create(client, path, f"without {n}")
            took.append(sees(stream, f"without {n}"))
        assert min(took) < SECONDS
        pair.valkey.start()
        create(client, path, "after")
        assert sees(stream, "after") < SECONDS


def test_17_a_client_that_reads_nothing_delays_nobody_else(pair: Pair, user: str) -> None:
    lazy = f"{user}-lazy"
    where = urlsplit(pair.one.url)
    with closing(socket.socket()) as connection, opened(pair.one.url, user) as stream:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((where.hostname, where.port))
        lines = (f"GET /api/{lazy}/changes/stream HTTP/1.1", "Host: x", f"Authorization: Bearer {token(lazy)}", "", "")
        connection.sendall("\r\n".join(lines).encode())
        stream.next()
        theirs, own = pair.one.client(lazy), pair.one.client(user)
        for n in range(12):
            create(theirs, f"/api/{lazy}/tasks", f"large {n}", description="x" * 300_000)
            create(own, f"/api/{user}/tasks", f"task {n}")
            assert sees(stream, f"task {n}") < SECONDS
        assert len(theirs.get(f"/api/{lazy}/tasks", params={"limit": 3}).json()) == 3
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_17_a_restored_ledger_cuts_the_stream_and_its_token_is_unknown_then(pair: Pair, user: str) -> None:
    """A dump that lacks the last event is restored while the stream is open."""
    client, path = pair.one.client(user), f"/api/{user}/tasks"
    first = create(client, path, "kept")
    create(client, path, "lost")
    with opened(pair.one.url, user) as stream:
        last = stream.next()
        assert len(last.data["tasks"]) == 2
        eventually(lambda: pair.one.database.execute(_PROJECTED, user))  # so no projector works on the user
        pair.one.database.execute(_TAKE_BACK, user)
        assert list(stream.events()) == []
        assert stream.is_cut
    headers = {"Last-Event-ID": last.id}
    assert_problem(client.get(f"/api/{user}/changes/stream", headers=headers), 410)
    with opened(pair.one.url, user) as anew:
        assert [task["id"] for task in anew.next().data["tasks"]] == [first["id"]]


async def _hold_open(url: str, number: int) -> tuple[list[asyncio.StreamReader], list[asyncio.StreamWriter]]:
    """Open streams of as many users; return when each has had its first event."""
    where, gate = urlsplit(url), asyncio.Semaphore(20)

    async def one(user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        lines = (f"GET /api/{user}/changes/stream HTTP/1.1", "Host: x", f"Authorization: Bearer {token(user)}", "", "")
        async with gate:
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write("\r\n".join(lines).encode())
            await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"\n\n")
        return reader, writer

    readers, writers = zip(*await asyncio.gather(*(one(f"many-{n}") for n in range(number))), strict=True)
    return [*readers], [*writers]


async def _told_to_end(service: RunningService, number: int) -> tuple[float, list[bytes]]:
    """Send SIGTERM while many streams are open; return when, and what each got from then on."""
    readers, writers = await _hold_open(service.url, number)
    assert service.gateway.process is not None
    began = time.monotonic()
    service.gateway.process.terminate()
    rests = await asyncio.gather(*(reader.read() for reader in readers))
    for writer in writers:
        writer.close()
    return began, rests


@pytest.mark.alone
def test_17_many_open_streams_end_with_the_process(servers: Servers, tmp_path: Path) -> None:
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, tmp_path / "log") as service,
    ):
        began, rests = run_async(_told_to_end(service, 300))
        assert service.gateway.process is not None
        assert service.gateway.process.wait(10) == 0
        assert time.monotonic() - began < 10  # 1 s on a machine that is not busy
        assert [b"retry: " in rest for rest in rests] == [True] * 300

"""Clients that do not read their answers: they hold resources only for a limited time.

Seen to fail: without the check of unsent bytes, and with connections that rest until they end.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest
from starlette.types import Receive, Scope, Send

from tasklog.serving import protocol
from tasklog.serving.exchange import RESTING
from tasklog.serving.protocol import Protocol
from tests.integration.raw_http import connected
from tests.integration.test_http_limits import POST, large, serving
from tests.ledger import within
from tests.servers import eventually_async

ASKED = POST + b"Content-Length: 0\r\n\r\n"


def slow_client(port: int) -> socket.socket:
    """Return a connected socket with a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    return connection


async def test_who_takes_nothing_of_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "_SWEEP_SECONDS", 0.05)
    lost, connection_lost = asyncio.Event(), Protocol.connection_lost

    def noted(connection: Protocol, error: Exception | None) -> None:
        connection_lost(connection, error)
        lost.set()

    monkeypatch.setattr(Protocol, "connection_lost", noted)
    async with serving(large) as port:
        with closing(slow_client(port)) as client:
            client.sendall(ASKED * 3)
            await within(10, lost.wait())


async def test_who_takes_nothing_is_cut_off_also_after_a_time_with_nothing_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "_SWEEP_SECONDS", 0.05)
    go_on = asyncio.Event()

    async def later(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"x" * 30_000_000, "more_body": True})
        await asyncio.Event().wait()

    async with connected(Protocol, later) as client:
        sweeping = asyncio.create_task(protocol.sweep_forever(client.state.connections))
        await client.send(b"GET / HTTP/1.1\r\nHost: tasklog\r\n\r\n")
        await eventually_async(lambda: client.protocol in RESTING)
        go_on.set()
        await eventually_async(lambda: client.protocol not in client.state.connections)
        assert client.protocol not in RESTING
        sweeping.cancel()


class Transport:
    """The transport of a connection with some unsent bytes."""

    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent


@pytest.mark.parametrize(("bytes_a_second", "is_cut"), [(0, True), (1, True), (3000, True), (5000, False)])
def test_who_takes_it_slower_than_a_bound_is_cut_and_nobody_else(bytes_a_second: int, is_cut: bool) -> None:
    """Seen to fail with a limit only on silence: a client that read a byte now and then held a megabyte for days."""
    connection = Protocol.__new__(Protocol)
    connection.transport = transport = Transport()  # type: ignore[assignment]
    stuck = []
    for second in range(1000):
        transport.unsent = max(0, 1_000_000 - second * bytes_a_second)
        stuck.append(connection._is_stuck(float(second)))
    assert any(stuck) is is_cut


def test_the_time_for_taking_begins_anew_with_what_is_sent_anew() -> None:
    connection = Protocol.__new__(Protocol)
    connection.transport = transport = Transport()  # type: ignore[assignment]
    now = 0.0
    for transport.unsent in (900, 0, 700, 0, 900):
        assert not connection._is_stuck(now)
        now += protocol.ANSWER_SECONDS
    assert connection._is_stuck(now + 1)

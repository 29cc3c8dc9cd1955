"""Clients that do not read their answers: they hold resources only for a limited time.

Seen to fail: without the check of unsent bytes.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest

from tasklog.serving import protocol
from tasklog.serving.protocol import Protocol
from tests.integration.test_http_limits import POST, large, serving
from tests.ledger import within

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

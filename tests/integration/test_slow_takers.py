"""Clients that do not take their answers: what they hold is bounded in time.

Seen to fail: without the look at what is unsent.
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
    """Connected, and with little room for what it is sent."""
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
    """Of a connection with so many bytes unsent."""

    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent


def test_who_takes_some_of_it_now_and_then_is_not() -> None:
    connection = Protocol.__new__(Protocol)
    connection.transport = transport = Transport()  # type: ignore[assignment]
    now = 0.0
    for transport.unsent in (900, 899, 500, 700, 699, 1, 0, 900):
        assert not connection._is_stuck(now)
        now += protocol.ANSWER_SECONDS
    assert connection._is_stuck(now)

"""Streams of events as a connection gets them: a sign of life while nothing happens.

Seen to fail: with a timer that gives its sign once only, and with signs given whatever the stream does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from edge import holds
from edge.event_stream import Event, EventStream
from edge.holds import Hold, Holds
from edge.requests import ServiceRequest
from tests.integration.test_http_limits import POST, running
from tests.ledger import within


class Silence:
    """A source in which nothing ever happens."""

    def join(self, hold: object) -> None:
        pass

    def leave(self, hold: object) -> None:
        pass

    async def next(self) -> Event:
        return self.nothing()

    def nothing(self) -> Event:
        return Event("id", b"{}", None, more=False)


async def test_a_stream_without_events_sends_a_comment_every_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval is two seconds here instead of fifteen."""
    assert holds.BEAT_SECONDS == 15
    monkeypatch.setattr(holds, "BEAT_SECONDS", 2)
    held = Holds(10)

    async def silent(request: Request) -> Response:
        asked: Any = cast(ServiceRequest, request)
        asked.record.valid_until = time.time() + 100
        return EventStream(asked, held, Silence())

    async with running(silent) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        await within(10, reader.readuntil(b"id: id\ndata: {}\n\n"))
        moments = [time.monotonic()]
        for _ in range(3):
            await within(10, reader.readuntil(b":\n\n"))
            moments.append(time.monotonic())
        writer.close()
    # A busy machine may delay the first of the three, but none comes before its time.
    assert moments[3] - moments[1] > 2.5


class Slow(Silence):
    """A source of one event in two parts; the second part comes once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def next(self) -> Event:
        return Event("id", b"", self._parts(), more=False)

    async def _parts(self) -> AsyncIterator[bytes]:
        yield b'{"a":'
        await self.go.wait()
        yield b"1}"


async def test_a_sign_of_life_waits_for_the_end_of_an_event() -> None:
    held, source = Holds(10), Slow()

    async def slow(request: Request) -> Response:
        asked: Any = cast(ServiceRequest, request)
        asked.record.valid_until = time.time() + 100
        return EventStream(asked, held, source)

    async with running(slow) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 0\r\n\r\n")
        await within(10, reader.readuntil(b'{"a":'))
        (hold,) = set[Hold]().union(*held._rounds)
        hold.beat()
        source.go.set()
        assert await within(10, reader.readuntil(b":\n\n")) == b"\r\n2\r\n1}\r\n2\r\n\n\n\r\n3\r\n:\n\n"
        writer.close()

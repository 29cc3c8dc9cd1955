"""Streams of events as a connection gets them: a sign of life while nothing happens.

Seen to fail: with a timer that gives its sign once only.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from edge import holds
from edge.event_stream import Event, EventStream
from edge.holds import Holds
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
    assert moments[2] - moments[1] > 1.5
    assert moments[3] - moments[2] > 1.5

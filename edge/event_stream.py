"""Streams of events (Server-Sent Events): how every one of them begins, goes on and ends.

A stream ends cleanly when its token has expired. At a shutdown, and when its source fails, it is cut: generated clients
come back after a cut, and stay away after a clean end. Before the cut of a shutdown an event says when to come back.
"""

from __future__ import annotations

import asyncio
import random
import re
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog

from edge.answers import ANSWERS, IN_PARTS_BYTES, SMALL, Ongoing
from edge.holds import End
from runtime.database import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

    from edge.holds import Hold, Holds
    from edge.requests import ServiceRequest

CUT: Final = "tasklog.cut"
"""The extension of ASGI with which a server closes a connection without completing its answer."""
PUT: Final = "tasklog.put"
"""The extension of ASGI with which a server sends a part of an answer at once, without the task that answers.

It drops the part while the client has not read most of what was sent before.
"""
RETRY_MS: Final = (500, 5000)
"""When clients come back after a shutdown: at random between these, in milliseconds, so that not all come at once."""
AGAIN_SECONDS: Final = 1.0
"""How long after a failure of the database the next attempt is made, in seconds."""

_COMMENT: Final = b":\n\n"
_HEADERS: Final = {
    "Cache-Control": "private, no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would otherwise hold events back
}
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")

log: FilteringBoundLogger = structlog.get_logger()


class Event(NamedTuple):
    """An event: its id, and its JSON, whole or in parts. With `more` the next one follows at once."""

    id: str
    json: bytes
    parts: AsyncIterator[bytes] | None
    more: bool


class Source(Protocol):
    """Where a stream's events come from."""

    def join(self, hold: Hold) -> None:
        """Wake `hold` from now on when there may be an event."""

    def leave(self, hold: Hold) -> None:
        """Wake it no more."""

    async def next(self) -> Event | None:
        """Return the next event, or None if there is none; the first time there is always one."""

    def nothing(self) -> Event:
        """Return an event that says that nothing has changed since the last one."""


class EventStream(Ongoing):
    """The answer that a source's events make, for as long as its request is held open."""

    media_type = "text/event-stream"

    def __init__(self, request: ServiceRequest, holds: Holds, source: Source) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._request, self._holds, self._source = request, holds, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Send the events until the request ends.

        Raises:
            Exception: there is no room, or the first event cannot be read; nothing was sent.
        """
        async with self._holds.hold(self._request) as hold:
            self._source.join(hold)
            if (put := scope.get("extensions", {}).get(PUT)) is not None:
                hold.sign = partial(put, _COMMENT)
            try:
                first = await self._source.next()
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await _write(send, b"")  # the head goes out at once, even if the first event waits for room
                if self._request.is_head or await self._is_complete(hold, first, send):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                elif (cut := scope.get("extensions", {}).get(CUT)) is not None and hold.watching is not None:
                    cut()
                    await asyncio.wait([hold.watching], timeout=AGAIN_SECONDS)
            finally:
                self._source.leave(hold)

    async def _is_complete(self, hold: Hold, event: Event | None, send: Send) -> bool:
        """Send the events until the end; return whether it is a clean one."""
        try:
            await self._send_events(hold, event, send)
            if hold.end is End.STOPPING:
                await _write(send, event_text(self._source.nothing(), retry_ms=random.randint(*RETRY_MS)))  # noqa: S311
        except Exception as error:  # noqa: BLE001 - the answer has begun: it can only be cut
            log.info("a stream is cut", reason=type(error).__name__)
            return False
        return hold.end is End.EXPIRED

    async def _send_events(self, hold: Hold, event: Event | None, send: Send) -> None:
        while hold.end is None:
            if event is not None:
                await self._give(event, send)
            if event is None or not event.more:
                await hold.wait()
                if hold.take_beat():
                    await _write(send, _COMMENT)
            has_more = event is not None and event.more
            event = await self._next(hold) if hold.take_change() or has_more else None

    async def _next(self, hold: Hold) -> Event | None:
        try:
            return await self._source.next()
        except UnavailableError:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, hold.wake)
            return None

    async def _give(self, event: Event, send: Send) -> None:
        """Send an event. A long one waits for room, and holds it until the client has read most of it."""
        user = self._request.record.user_id
        if event.parts is not None:
            async with ANSWERS.room(user, IN_PARTS_BYTES):
                await _write(send, b"id: %b\ndata: " % event.id.encode())
                async for part in event.parts:
                    await _write(send, in_ascii(part))
                await _write(send, b"\n\n")
        elif len(text := event_text(event)) <= SMALL:
            await _write(send, text)
        else:
            async with ANSWERS.room(user, len(text)):
                await _write(send, text)
                await _write(send, b"")


async def _write(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


def event_text(event: Event, *, retry_ms: int | None = None) -> bytes:
    """Return an event as its stream sends it; `retry` stands inside, as some clients drop one that stands alone."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return b"%bid: %b\ndata: %b\n\n" % (retry, event.id.encode(), in_ascii(event.json))


def in_ascii(json: bytes) -> bytes:
    """Return JSON in ASCII, so that no parser of streams finds a line's end in it."""
    if json.isascii():
        return json
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), json.decode()).encode()


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join([f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2)])

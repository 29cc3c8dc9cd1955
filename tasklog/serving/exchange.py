"""One request of a connection and its answer: the `receive` and `send` that an ASGI app is given."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from edge.problem_kinds import Kind
from edge.problems import problem
from edge.requests import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Scope

    from tasklog.serving.connection import Connection

HIGH_WATER_BYTES: Final = 64 * 1024
"""How many bytes of a body may wait for the app; with more, reading pauses."""

RESTING: Final[set[Connection]] = set()
"""Connections in the middle of an answer, with nothing unsent: there is nothing to check until they send or read."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY: Final = (204, 304)
_COPIED_BYTES: Final = 16 * 1024
"""Up to this size a body is copied behind its head, which costs less than a second buffer for the transport."""
_CONTROLS: Final = bytes(set(range(32)) - {ord("\t")}) + b"\x7f"

log = logging.getLogger("uvicorn.error")


class Exchange:
    """A request and its answer.

    `is_received`: the whole request has come. `is_begun`: a part of the answer was written; `is_complete`: all of it.
    `is_abandoned`: nobody waits for it any more. If `keep_alive` is off, the connection ends with the answer.
    """

    __slots__ = (
        "_body", "_connection", "_has_news", "_is_chunked", "_is_told_to_continue", "_news", "_start", "_unsent",
        "is_abandoned", "is_begun", "is_complete", "is_received", "keep_alive", "scope",
    )  # fmt: skip

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, expects_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.is_received = self.is_begun = self.is_complete = self.is_abandoned = False
        self._connection = connection
        self._is_told_to_continue = not expects_continue
        self._body: bytes | bytearray = b""
        self._has_news = False
        self._news: asyncio.Event | None = None
        """Set when more of the body, or its end, is there; made only if somebody waits, as most requests come whole."""
        self._start: Message | None = None
        self._is_chunked = False
        self._unsent: int | None = None
        """How many bytes of the body are left to send; None if the answer does not say."""

    async def run(self, app: ASGIApp, tasks: set[asyncio.Task[None]]) -> None:
        """Let the app answer; this task is one of `tasks` until then."""
        try:
            await self._run(app)
        finally:
            tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _run(self, app: ASGIApp) -> None:
        """Let the app answer. If it fails, answer 500, or cut the answer that has begun."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # also when a shutdown cancels the request
            log.error("Exception in ASGI application", exc_info=error)  # noqa: TRY400 - the error is named
        else:
            if self.is_complete or self.is_abandoned:
                return
            log.error("ASGI callable returned without completing response.")
        if self.is_begun:
            self._connection.transport.close()
        else:
            await self._send_500()

    async def _send_500(self) -> None:
        answer = problem(Kind.INTERNAL_ERROR, "Internal server error")
        headers = [*answer.raw_headers, *SECURITY_HEADERS]
        self.keep_alive = False
        self._start = None
        await self.send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": answer.body})

    def take(self, part: bytes) -> None:
        """Take a part of the request's body, and read no more while much of it waits."""
        if self.is_complete:
            return
        if self._body:
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += part
        else:
            self._body = part
        if len(self._body) > HIGH_WATER_BYTES:
            self._connection.flow.pause_reading()
        self._tell()

    def end_request(self) -> None:
        """Note that the whole request has come."""
        self.is_received = True
        self._tell()

    def abandon(self) -> None:
        """Tell the app that nobody waits for the answer."""
        self.is_abandoned = True
        self._tell()

    def _tell(self) -> None:
        self._has_news = True
        if self._news is not None:
            self._news.set()

    async def _wait_for_news(self) -> None:
        while not self._has_news:
            self._news = self._news or asyncio.Event()
            self._news.clear()
            await self._news.wait()
        self._has_news = False

    async def receive(self) -> Message:
        """Return the next part of the body, or `http.disconnect` if the client is gone or has its answer."""
        connection = self._connection
        if not self._is_told_to_continue and not connection.transport.is_closing():
            connection.transport.write(_CONTINUE)
            self._is_told_to_continue = True
        if not self.is_abandoned and not self.is_complete:
            connection.flow.resume_reading()
            await self._wait_for_news()
        if self.is_abandoned or self.is_complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), b""
        return {"type": "http.request", "body": body, "more_body": not self.is_received}

    async def send(self, message: Message) -> None:
        """Send a part of the answer when the client has read most of the one before; the head goes with the first part.

        Raises:
            RuntimeError: the app does not keep to ASGI, or to its own Content-Length.
        """
        flow = self._connection.flow
        if flow.write_paused and not self.is_abandoned:
            await flow.drain()
        if self.is_abandoned:
            return
        what = message["type"]
        if what == "http.response.start" and self._start is None:
            self._start = message
            self._is_told_to_continue = True
        elif what == "http.response.body" and self._start is not None and not self.is_complete:
            self._write(self._start, message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"The app sent an ASGI message out of order: {what}")

    def put(self, part: bytes) -> None:
        """Send a part of the answer that has begun, at once."""
        if self._start is not None and self.is_begun and not self.is_complete:
            self._write(self._start, part, more=True)

    def _write(self, start: Message, body: bytes, *, more: bool) -> None:
        RESTING.discard(self._connection)
        parts = [] if self.is_begun else [self._head(start["status"], start.get("headers", ()))]
        if self.scope["method"] == "HEAD":
            self._unsent = None
        elif self._is_chunked:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        else:
            parts.append(body)
            self._count(len(body), more=more)
        if len(body) > _COPIED_BYTES:
            self._connection.transport.writelines(parts)
        else:
            self._connection.transport.write(b"".join(parts))
        self.is_begun = True
        if not more:
            self._complete()

    def _count(self, size: int, *, more: bool) -> None:
        """Count bytes of the body, which must be as long as the head says."""
        if self._unsent is not None:
            self._unsent -= size
            if self._unsent < 0 or (self._unsent and not more):
                raise RuntimeError("The body is not as long as the answer's Content-Length says.")

    def _head(self, status: int, own: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the head of the answer, and settle how its body is framed."""
        headers = [*self._connection.default_headers, *own]
        fields = dict(headers)
        length = fields.get(b"content-length")
        self._unsent = None if length is None else int(length)
        self._is_chunked = False
        if fields.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        if length is None and status not in _WITHOUT_BODY and self.scope["method"] != "HEAD":
            if self.scope["http_version"] < "1.1":
                self.keep_alive = False  # the end of the connection is the end of the body
            else:
                self._is_chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
        return head(status, headers)

    def _complete(self) -> None:
        self.is_complete = True
        self._tell()
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_answered()


def head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of an answer.

    Raises:
        RuntimeError: a header has a line's end or another control character.
    """
    text = b"".join([STATUS_LINE[status], b"\r\n".join([b": ".join(header) for header in headers]), b"\r\n\r\n"])
    if len(text) - len(text.translate(None, _CONTROLS)) != 2 * (len(headers) + 2):
        raise RuntimeError("A header of the answer has a control character.")
    return text

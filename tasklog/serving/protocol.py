"""uvicorn's HTTP protocol with what it lacks: limits of time and size, and bodies after an upgrade offer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from edge.event_stream import CUT
from edge.problem_kinds import Kind
from edge.problems import problem
from edge.requests import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_SECONDS: Final = 15.0
"""How long a whole request, header and body, may take, from its first byte or from the connection, in seconds."""
ANSWER_SECONDS: Final = 30.0
"""How long a client may take nothing of an answer, and how long a closing connection may last, in seconds."""
SLOWEST_BYTES_A_SECOND: Final = 4096
"""A client that takes less than this is disconnected, but not before ANSWER_SECONDS."""
HEADER_BYTES: Final = 64 * 1024
"""The longest request line and header, together, in bytes."""

_SWEEP_SECONDS: Final = 1.0
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_OWN_FILES: Final = 128  # files other than connections: the database, Redis, logs
_most_connections = 1_000_000

log = structlog.get_logger()


class Protocol(HttpToolsProtocol):
    """One connection.

    Times are in seconds of the loop's clock. `owed_since`: since when the client owes the rest of a request.
    `stuck_since`: since when it has taken nothing of the waiting answer. At `taking_since`, `to_take` bytes were
    waiting for it.
    """

    owed_since: float | None = None
    closing_since: float | None = None
    stuck_since: float | None = None
    taking_since = 0.0
    to_take = 0
    header_bytes: int | None = 0
    _unsent = 0
    _head_repeated = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, unless there are more than the process can have files."""
        super().connection_made(transport)
        self._extensions = {CUT: transport.close}
        self.owed_since = self.loop.time()
        if len(self.connections) > _most_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and refuse a header that is too long."""
        if self.header_bytes is not None:
            self.header_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self.header_bytes is not None and self.header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._refuse(Kind.HEADER_TOO_LARGE, "The header of the request is too large")

    def _feed(self, data: bytes) -> bytes:
        """Parse `data`, up to the head of a request that offers an upgrade; return the rest.

        The upgrade is declined. httptools would then parse the request's body as the next request (its issue 124), so a
        new parser continues, from a head with the same framing but without the offer.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            data = data[offer.args[0] :]
        else:
            return b""
        if self.scope["method"] == "CONNECT":
            raise httptools.HttpParserError
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = [b"%b: %b\r\n" % h for h in self.scope["headers"] if h[0] in _FRAMING]
        if framing:
            self.cycle.more_body, self.owed_since = True, self.loop.time()
            self.cycle.message_event.clear()
            self._head_repeated = True
            try:
                self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
            finally:
                self._head_repeated = False
        return data

    def on_url(self, url: bytes) -> None:
        """Store the target of the request."""
        if not self._head_repeated:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header."""
        if not self._head_repeated:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Begin to count time and size."""
        if self._head_repeated:
            return
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item] # one of our own
        self.owed_since = self.loop.time()
        self.header_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the request; its body has its own limit."""
        if self._head_repeated:
            return
        self.header_bytes = None
        super().on_headers_complete()
        self.headers = deque(maxlen=0)  # type: ignore[assignment] # trailers come to nothing

    def on_message_complete(self) -> None:
        """Note that the client owes nothing more."""
        self.owed_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP. A complete request before it is answered first, and nothing after."""
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._refuse(Kind.MALFORMED_REQUEST, msg)

    def check(self, now: float) -> None:
        """End the connection if its client is too slow; called about once a second."""
        if self.transport.is_closing():
            self.closing_since = self.closing_since or now
            if now - self.closing_since > ANSWER_SECONDS:
                self.transport.abort()
        elif self._is_stuck(now):
            self.transport.abort()
        elif self.owed_since is not None:
            if now - self.owed_since > REQUEST_SECONDS:
                self._refuse(Kind.REQUEST_TOO_SLOW, "The request was not sent in time")
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            self.owed_since = now  # bytes came that began no request

    def _is_stuck(self, now: float) -> bool:
        """Return whether the client has taken nothing for too long, or takes the answer too slowly."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent > self._unsent or self.stuck_since is None:
            self.taking_since, self.to_take = now, unsent
        if not unsent or unsent < self._unsent or self.stuck_since is None:
            self.stuck_since = now
        self._unsent = unsent
        seconds = ANSWER_SECONDS + self.to_take / SLOWEST_BYTES_A_SECOND
        return unsent > 0 and (now - self.stuck_since > ANSWER_SECONDS or now - self.taking_since > seconds)

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answer, if no answer has begun, and close."""
        log.info("a connection is refused", status=kind.status, client=self.client[0] if self.client else None)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = problem(kind, detail)
            headers = [*answer.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[kind.status], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


async def sweep_forever(connections: Iterable[object]) -> None:
    """Check every connection about once a second, with one timer for all."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        for connection in [*connections]:
            if isinstance(connection, Protocol):
                connection.check(now)


def allow_many_connections() -> None:
    """Raise the process's limit of open files, and limit connections to what it allows."""
    global _most_connections  # noqa: PLW0603 - a limit of the process
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY:
        _most_connections = max(hard - _OWN_FILES, hard // 2)

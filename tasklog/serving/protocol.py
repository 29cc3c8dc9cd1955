"""uvicorn's HTTP protocol with what it has not: limits of time and size, and the bodies behind offers to upgrade."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from edge.problems import problem
from edge.requests import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUEST_SECONDS: Final = 15.0
"""A whole request, header and body, has to come within this time of its first byte or of the connection."""
ANSWER_SECONDS: Final = 30.0
"""A client has this long to take some of what is sent to it, and the last answer of a connection that is closed."""
SLOWEST_BYTES_A_SECOND: Final = 4096
"""A client that takes less than this is given up, but not before ANSWER_SECONDS."""
HEADER_BYTES: Final = 64 * 1024
"""The longest request line and header."""

_SWEEP_SECONDS: Final = 1.0
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_OWN_FILES: Final = 128  # what else the process opens: its database, Redis, logs
_most_connections = 1_000_000

log = structlog.get_logger()


class Protocol(HttpToolsProtocol):
    """One connection.

    The client owes the rest of a request since `owed_since`, and has taken nothing of what waits for it since
    `stuck_since`; the `to_take` bytes were sent to it at `taking_since`.
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
        """Take the connection, unless there are more than there can be files."""
        super().connection_made(transport)
        self.owed_since = self.loop.time()
        if len(self.connections) > _most_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came, while the header is not endless."""
        if self.header_bytes is not None:
            self.header_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self.header_bytes is not None and self.header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431, "The header of the request is too large")

    def _feed(self, data: bytes) -> bytes:
        """Parse `data`, up to the head of a request that offers an upgrade; what is left of it.

        The offer is not taken. httptools would take the request's body for the next request (its issue 124): another
        parser reads on, from a head with the same framing and without the offer.
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
        """Note the target of the request."""
        if not self._head_repeated:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        if not self._head_repeated:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Count time and size from here."""
        if self._head_repeated:
            return
        super().on_message_begin()
        self.owed_since = self.loop.time()
        self.header_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the request; its body has a limit of its own."""
        if self._head_repeated:
            return
        self.header_bytes = None
        super().on_headers_complete()
        self.headers = deque(maxlen=0)  # type: ignore[assignment] # trailers come to nothing

    def on_message_complete(self) -> None:
        """Note that the client owes nothing any more."""
        self.owed_since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP. A good request before it is answered first, and nothing after."""
        if self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._refuse(400, msg)

    def check(self, now: float) -> None:
        """End the connection if its client is too slow; called once in a while."""
        if self.transport.is_closing():
            self.closing_since = self.closing_since or now
            if now - self.closing_since > ANSWER_SECONDS:
                self.transport.abort()
        elif self._is_stuck(now):
            self.transport.abort()
        elif self.owed_since is not None:
            if now - self.owed_since > REQUEST_SECONDS:
                self._refuse(408, "The request was not sent in time")
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            self.owed_since = now  # bytes came that began no request

    def _is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing of what waits for it for too long, or takes it too slowly."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent > self._unsent or self.stuck_since is None:
            self.taking_since, self.to_take = now, unsent
        if not unsent or unsent < self._unsent or self.stuck_since is None:
            self.stuck_since = now
        self._unsent = unsent
        seconds = ANSWER_SECONDS + self.to_take / SLOWEST_BYTES_A_SECOND
        return unsent > 0 and (now - self.stuck_since > ANSWER_SECONDS or now - self.taking_since > seconds)

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, if no answer has begun, and close."""
        log.info("a connection is refused", status=status, client=self.client[0] if self.client else None)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = problem(status, detail)
            headers = [*answer.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
            lines = [b"%b: %b\r\n" % header for header in headers]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


async def sweep_forever(connections: Iterable[object]) -> None:
    """Look at every connection about once a second: one timer for all of them."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        for connection in [*connections]:
            if isinstance(connection, Protocol):
                connection.check(now)


def allow_many_connections() -> None:
    """Let this process have as many files as it may, and take no more connections than that is good for."""
    global _most_connections  # noqa: PLW0603 - a limit of the process
    try:
        import resource  # noqa: PLC0415 - not made for every platform
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY:
        _most_connections = max(hard - _OWN_FILES, hard // 2)

"""Bytes of a connection to requests: httptools parses them, a piece at a time, and within limits."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import httptools

from edge.problem_kinds import Kind

if TYPE_CHECKING:
    from collections.abc import MutableSequence

HEADER_BYTES: Final = 64 * 1024
"""The longest request line and header, together, in bytes; also the longest trailer. Up to a piece more is let in."""

PIECE_BYTES: Final = 8 * 1024
"""So much is parsed at a time, as one read may hold thousands of short requests."""
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_NOWHERE: Final[deque[tuple[bytes, bytes]]] = deque(maxlen=0)
"""Where trailers go: behind a gateway that checks headers, they would be headers that nobody checked."""


class Reading(asyncio.Protocol):
    """The side of a connection that reads.

    `url` and `headers` are those of the request that is being read. `header_bytes`: how much has come since a header or
    a trailer began; None while neither is read.
    """

    def __init__(self) -> None:
        self.header_bytes: int | None = 0
        self.is_refused = False
        self.parser = _parser(self)
        self.unparsed: bytes | memoryview = b""
        """What has come, and waits until some requests are answered."""
        self._is_head_repeated = False

    def may_parse(self) -> bool:
        """Return whether another request may be read now."""
        raise NotImplementedError

    def refuse(self, kind: Kind, detail: str) -> None:
        """Refuse the request that is being read."""
        raise NotImplementedError

    def take_request(self) -> None:
        """Take the request whose head has come."""
        raise NotImplementedError

    def on_message_complete(self) -> None:
        """Note that the request has come as a whole."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if not self.is_refused:
            self.unparsed = b"".join((self.unparsed, data)) if self.unparsed else data
            self.parse()

    def parse(self) -> None:
        """Parse what has come, and keep what must wait. After a refusal nothing more is parsed."""
        rest, self.unparsed = self.unparsed, b""
        while rest and not self.is_refused and self.may_parse():
            if len(rest) > PIECE_BYTES:
                rest = memoryview(rest)
                self._parse_piece(rest[:PIECE_BYTES])
                rest = rest[PIECE_BYTES:]
            else:
                self._parse_piece(rest)
                rest = b""
        if not self.is_refused:
            self.unparsed = rest

    def _parse_piece(self, piece: bytes | memoryview) -> None:
        if self.header_bytes is not None:
            self.header_bytes += len(piece)
        try:
            while piece:
                piece = self._feed(piece)
        except httptools.HttpParserError:
            self.refuse(Kind.MALFORMED_REQUEST, "Invalid HTTP request received.")
        if self.header_bytes is not None and self.header_bytes > HEADER_BYTES:
            self.refuse(Kind.HEADER_TOO_LARGE, "The header of the request is too large")

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
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
        framing = [b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING]
        self.parser = _parser(self)
        if not framing:
            self.on_message_complete()
            return data
        self._is_head_repeated = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        finally:
            self._is_head_repeated = False
        return data

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._fields: MutableSequence[tuple[bytes, bytes]] = self.headers
        self.expects_continue = False
        self.header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Store a part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expects_continue = True
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the request; its body has its own limit."""
        self.header_bytes = None
        self._fields = _NOWHERE
        if not self._is_head_repeated:
            self.take_request()

    def on_chunk_header(self) -> None:
        """Begin to count: behind the last chunk, which is empty, a trailer may follow."""
        self.header_bytes = 0

    def on_body(self, body: bytes) -> None:  # noqa: ARG002 - the others take it
        """Take a part of the body."""
        self.header_bytes = None


def _parser(reading: Reading) -> httptools.HttpRequestParser:
    """Return a parser that also parses what follows a request with `Connection: close`; it is not answered."""
    parser = httptools.HttpRequestParser(reading)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser

"""The HTTP server of the admin port: Python's own, because the port is for this machine and for a few callers.

The service's event loop accepts each connection, so a process that hangs does not answer. A thread of its own then
talks to the client, so that a slow one costs the service nothing.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import TimeoutError as NotInTimeError
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import structlog

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Iterator, Mapping

_CLIENT_SECONDS: Final = 10
"""How long a client may take for its request, or for the next part of its answer, in seconds."""
_ANSWER_SECONDS: Final = 8
"""How long an answer may take to make, in seconds: less than a scrape of Prometheus waits."""
_CLIENTS: Final = 32
"""The most connections at the same time; further ones are closed at once."""
_BODY_BYTES: Final = 64 * 1024

log = structlog.get_logger()


class Asked(NamedTuple):
    """A request: its method, its path without the query, its headers by lower-case name, and its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An answer; a body that takes time to make may be a function, which the client's thread calls."""

    status: int
    media_type: str
    body: bytes | Callable[[], bytes]
    headers: Mapping[str, str] = {}


Answering: TypeAlias = "Callable[[Asked], Awaitable[Answer]]"


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Send the answer of the server's function."""
        answer = self._answer()
        body = answer.body if isinstance(answer.body, bytes) else answer.body()
        self.send_response(answer.status)
        headers = {"Content-Type": answer.media_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        for name, value in {**headers, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815 - the names that the library looks for

    def _answer(self) -> Answer:
        declared = self.headers.get("Content-Length", "0")
        size = int(declared) if declared.isascii() and declared.isdigit() else 0
        if size > _BODY_BYTES:
            return Answer(413, "text/plain; charset=utf-8", b"The body is larger than 64 KiB: send less.\n")
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path.partition("?")[0], headers, self.rfile.read(size))
        future = asyncio.run_coroutine_threadsafe(self.server.answer(asked), self.server.loop)
        try:
            return future.result(_ANSWER_SECONDS)
        except NotInTimeError:
            future.cancel()
            return Answer(503, "text/plain; charset=utf-8", b"The process does not answer in time: try again.\n")

    def version_string(self) -> str:
        """Return the name in the header `Server`, without versions."""
        return "tasklog"

    def log_message(self, *_: object) -> None:
        """Log nothing: health checks and scrapes come every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, answering: Answering) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.loop = asyncio.get_running_loop()
        self._answering = answering
        self._free = BoundedSemaphore(_CLIENTS)

    async def answer(self, asked: Asked) -> Answer:
        try:
            return await self._answering(asked)
        except Exception:
            log.exception("the admin port could not answer", path=asked.path)
            return Answer(500, "text/plain; charset=utf-8", b"This could not be answered: see the log.\n")

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Drop the connection: its client is gone or slow, or the process ends."""


@contextmanager
def serving(listener: socket.socket, answering: Answering) -> Iterator[None]:
    """Answer requests on a listening socket while the block runs, on the running loop."""
    listener.setblocking(False)  # noqa: FBT003 - socket's signature
    loop, server = asyncio.get_running_loop(), _Server(listener, answering)
    loop.add_reader(listener, server.handle_request)
    try:
        yield
    finally:
        loop.remove_reader(listener)
        server.server_close()

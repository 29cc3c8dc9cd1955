"""A connection that speaks HTTP/1.1: an ASGI app answers its requests one after the other."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from edge.event_stream import CUT, PUT
from tasklog.serving.draining import is_draining
from tasklog.serving.exchange import RESTING, Exchange
from tasklog.serving.reading import Reading

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

WAITING_REQUESTS: Final = 16
"""With this many requests behind the one that is answered, reading pauses.

With fewer it goes on, because only reading tells that the client is gone.
"""
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Connection(Reading):
    """One connection of uvicorn's server.

    `latest` is the request that is read, or was read last. `current` is the one that is answered, and `waiting` are
    those behind it, in order. Times are in seconds of the loop's clock. `owed_since`: since when the client owes the
    rest of a request. `idle_since`: since when nobody owes anything.
    """

    transport: asyncio.Transport
    flow: FlowControl
    latest: Exchange | None = None
    current: Exchange | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn's server hands over."""
        super().__init__()
        self.loop = _loop or asyncio.get_running_loop()
        self.connections: set[Any] = server_state.connections
        self.owed_since: float | None = self.loop.time()
        self.idle_since: float | None = None
        self.keep_alive_seconds = config.timeout_keep_alive
        self.waiting: deque[Exchange] = deque()
        self._app = config.loaded_app
        self._app_state = app_state
        self._server_state = server_state

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every answer: the date, which the server renews each second."""
        return self._server_state.default_headers

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read requests."""
        self.transport = transport
        self.flow = FlowControl(transport)
        self.client = get_remote_addr(transport)
        self._server = get_local_addr(transport)
        self._extensions = {CUT: transport.close, PUT: self.put}
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        """Tell the running request that its client is gone; those behind it do not run."""
        self.connections.discard(self)
        RESTING.discard(self)
        self.waiting.clear()
        self.unparsed = b""
        if self.current is not None:
            self.current.abandon()
        self.flow.resume_writing()
        self.current = self.latest = None
        self._extensions = {}
        del self.parser  # both refer to this connection

    def pause_writing(self) -> None:
        """Let answers wait until the client has read more."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Let answers go on."""
        self.flow.resume_writing()

    def may_parse(self) -> bool:
        """Return whether another request may wait; if not, stop reading."""
        if len(self.waiting) < WAITING_REQUESTS:
            return True
        self.flow.pause_reading()
        return False

    def on_message_begin(self) -> None:
        """Begin a request, and to count its time."""
        super().on_message_begin()
        RESTING.discard(self)
        self.owed_since, self.idle_since = self.loop.time(), None

    def take_request(self) -> None:
        """Start the request, or let it wait for those before it."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            raise httptools.HttpParserError
        is_modern = version >= "1.1"
        scope = self._scope(method.decode("ascii"), version)
        # While this process drains, the client's next request goes to a process that stays.
        keep_alive = is_modern and self.parser.should_keep_alive() and not is_draining()
        exchange = Exchange(self, scope, keep_alive=keep_alive, expects_continue=is_modern and self.expects_continue)
        self.latest = exchange
        if self.current is None:
            self._answer(exchange)
        else:
            self.waiting.append(exchange)

    def _scope(self, method: str, version: str) -> dict[str, Any]:
        """Return what ASGI tells an app of a request."""
        raw_path, query = _path_and_query(self.url)
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self.client,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self._app_state.copy(),
            "extensions": self._extensions,
        }

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body over."""
        super().on_body(body)
        assert self.latest is not None
        self.latest.take(body)

    def on_message_complete(self) -> None:
        """Note that the request has come as a whole, unless its body still follows the offer of an upgrade."""
        assert self.latest is not None
        if self.parser.should_upgrade():
            return
        self.latest.end_request()
        self.owed_since = self.header_bytes = None
        if self.current is None:
            self.idle_since = self.loop.time()

    def on_answered(self) -> None:
        """Go on with the next request."""
        self.current = None
        if self.transport.is_closing():
            return
        if self.waiting:
            self._answer(self.waiting.popleft())
        elif self.latest is not None and self.latest.is_received:
            self.idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.unparsed:
            self.parse()

    def shutdown(self) -> None:
        """Close the connection when all requests that were read are answered; uvicorn calls this at its end."""
        if self.current is None:
            self.transport.close()
        else:
            (self.waiting[-1] if self.waiting else self.current).keep_alive = False

    def put(self, part: bytes) -> None:
        """Send a part of the answer in progress, unless the client has not read most of what was sent before."""
        if self.current is not None and not self.flow.write_paused:
            self.current.put(part)

    def _answer(self, exchange: Exchange) -> None:
        self.current = exchange
        tasks = self._server_state.tasks
        tasks.add(self.loop.create_task(exchange.run(self._app, tasks)))


def _path_and_query(target: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request's target.

    Raises:
        HttpParserError: it is neither a path nor a URL.
    """
    if target[:1] == b"/" and b"#" not in target:
        path, _, query = target.partition(b"?")
        return path, query
    url = httptools.parse_url(target)
    return url.path or b"/", url.query or b""

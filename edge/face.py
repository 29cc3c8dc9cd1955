"""Every request of a service, in one flat callable: limits, route, answer, CORS, security headers and one log line.

Layers of middleware would do the same; each costs some microseconds a request, see docs/decisions/0007.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from starlette.exceptions import HTTPException
from starlette.routing import Route, compile_path

from edge.answers import is_small, send_in_its_room
from edge.event_stream import EventStream
from edge.overload import Load, too_much
from edge.request_counts import REQUESTS
from edge.requests import SECURITY_HEADERS, ServiceRequest
from edge.traced import request_span
from runtime import tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

    from edge.cors import Cors
    from edge.errors import Handler, Handlers

    Endpoint = Callable[[Request], Awaitable[Response]]

log: FilteringBoundLogger = structlog.get_logger()

_NOT_ALLOWED: Final = 405


class _Route(NamedTuple):
    pattern: re.Pattern[str]
    path: str
    endpoint: Endpoint


class Face:
    """A service's HTTP face as an ASGI app."""

    def __init__(self, routes: Iterable[Route], handlers: Handlers, cors: Cors) -> None:
        """Answer by the routes' endpoints, which take a request and return a response; `handlers` answer errors."""
        self._routes: dict[str, list[_Route]] = {}
        self._paths: list[_Route] = []
        for route in routes:
            # Not `$`, as Starlette has it: that lets a line feed follow.
            pattern = re.compile(compile_path(route.path)[0].pattern.removesuffix("$") + r"\Z")
            made = _Route(pattern, route.path, route.endpoint)
            self._paths.append(made)
            methods = route.methods or ()
            REQUESTS.expect(methods, route.path)
            for method in methods:
                self._routes.setdefault(method, []).append(made)
        self._handlers = handlers
        self._cors = cors
        self._load = Load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and write its line when it is answered or given up."""
        started = time.perf_counter()
        method: str = scope["method"]
        if method == "HEAD":
            # The server goes by the method in its own scope.
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        request = ServiceRequest(scope, receive, self._load)
        request.is_head = method == "HEAD"
        try:
            if (tracer := tracing.tracer) is None:
                await self._respond(request, _Answer(request, self._cors, send))
            else:
                with request_span(tracer, method, request):
                    await self._respond(request, _Answer(request, self._cors, send))
        finally:
            seconds, record = time.perf_counter() - started, request.record
            REQUESTS.count(method, record.route, record.status, seconds)
            _log(method, request, seconds)

    async def _respond(self, request: ServiceRequest, answer: _Answer) -> None:
        preflight = self._cors.preflight(request)
        if preflight is not None:
            answer.added = ()
            await answer.give(preflight)
            return
        load = self._load
        if load.is_full:
            await answer.give(await self._problem(request, too_much()))
            return
        load.requests += 1
        try:
            try:
                response = await self._endpoint(request)(request)
                if is_small(response):
                    await answer.give(response)
                elif isinstance(response, EventStream):
                    await response(request.scope, request.receive, answer)
                else:
                    await send_in_its_room(response, request.record.user_id, request.scope, request.receive, answer)
            except Exception as error:
                if request.record.status is not None:
                    raise RuntimeError("An error came after the answer had begun.") from error
                await answer.give(await self._problem(request, error))
        finally:
            load.requests -= 1
            load.bytes -= request.received

    def _endpoint(self, request: ServiceRequest) -> Endpoint:
        """Return what answers a request, by its method and path.

        Raises:
            HTTPException: 404 or 405, nothing does.
        """
        scope = request.scope
        path: str = scope["path"]
        if len(path) > 1 and path[-1] == "/":
            # A redirect would cost a round trip, and depend on the Host header.
            path = path[:-1]
        for route in self._routes.get(scope["method"], ()):
            if (match := route.pattern.match(path)) is not None:
                scope["path_params"] = match.groupdict()
                request.record.route = route.path
                return route.endpoint
        scope["path"] = path
        for route in self._paths:
            if route.pattern.match(path):
                request.record.route = route.path
                raise HTTPException(_NOT_ALLOWED)
        raise HTTPException(404)

    async def _problem(self, request: ServiceRequest, error: Exception) -> Response:
        handler: Handler = next(
            self._handlers[kind]
            for kind in type(error).__mro__
            if issubclass(kind, Exception) and kind in self._handlers
        )
        return await handler(request, error)


class _Answer:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, request: ServiceRequest, cors: Cors, send: Send) -> None:
        self._record = request.record
        self._send = send
        self.added = cors.headers_for(request)

    async def give(self, response: Response) -> None:
        """Send a response that is ready."""
        await self._send(self._start(response.status_code, response.raw_headers))
        await self._send({"type": "http.response.body", "body": response.body})

    async def __call__(self, message: Message) -> None:
        """Send a message, the first with all headers."""
        if message["type"] == "http.response.start":
            message = self._start(message["status"], message["headers"])
        await self._send(message)

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Message:
        self._record.status = status
        own = (b"x-request-id", self._record.request_id.encode())
        return {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, *self.added, own, *SECURITY_HEADERS],
        }


def _without_body(send: Send) -> Send:
    """Return a `send` that leaves out the body, for HEAD."""

    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return head


def _log(method: str, request: ServiceRequest, seconds: float) -> None:
    record = request.record
    fields: dict[str, object] = {
        "method": method,
        "route": record.route,
        "status": record.status,
        "ms": round(seconds * 1000, 2),
        "request_id": record.request_id,
    }
    if record.user_id is not None:
        fields["user_id"] = record.user_id
    if record.trace_id is not None:
        fields["trace_id"] = record.trace_id
    if record.refused is None:
        log.info("request", **fields)
        return
    client = request.scope.get("client")
    fields |= {"refused": record.refused, "client": client[0] if client else None}
    if record.path_user_id is not None:
        fields["path_user_id"] = record.path_user_id
    log.warning("request", **fields)

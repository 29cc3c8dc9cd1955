"""The outermost middleware: request id, path, limit of the body, security headers and one log line per request."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from random import getrandbits
from typing import TYPE_CHECKING, Final, cast

import structlog

from edge.problems import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

BODY_LIMIT: Final = 1024 * 1024
"""The largest body that is read, in bytes."""

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_KEY: Final = "tasklog.request"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)

log: FilteringBoundLogger = structlog.get_logger()


@dataclass(kw_only=True, slots=True)
class RequestRecord:
    """What the log line says about a request besides its path and time; filled in on the way."""

    request_id: str
    user_id: str | None = None
    refused: str | None = None
    path_user_id: str | None = None
    status: int | None = None


def record_of(request: Request) -> RequestRecord:
    """Return the record of this request."""
    return cast("RequestRecord", request.scope[_KEY])


class RequestMiddleware:
    """The outermost layer of a service, as plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write its log line when it is answered or given up."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id, length = _request_headers(scope)
        record = RequestRecord(request_id=request_id)
        inner = {**scope, "path": _without_slash(scope["path"]), _KEY: record}
        if scope["method"] == "HEAD":
            inner["method"], send = "GET", _without_body(send)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), own, *SECURITY_HEADERS]
            await send(message)

        try:
            await self.app(inner, _bounded(receive, length), answer)
        finally:
            _log(scope["method"], inner, record, time.perf_counter() - started)


def _request_headers(scope: Scope) -> tuple[str, int]:
    """Return the request's id (the client's own if it is valid) and the declared length in bytes, or 0."""
    request_id, length = "", 0
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"content-length" and value.isdigit():
            length = int(value[:16])
    return request_id or f"{getrandbits(128):032x}", length


def _without_slash(path: str) -> str:
    """Return the path without a final slash; a redirect would cost a round trip and depend on the Host header."""
    return path[:-1] if len(path) > 1 and path[-1] == "/" else path


def _without_body(send: Send) -> Send:
    """Return a `send` that leaves out the body, for HEAD."""

    async def head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return head


def _bounded(receive: Receive, length: int) -> Receive:
    """Return a `receive` that raises 413 when the body is declared, or turns out, longer than BODY_LIMIT."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        if length <= BODY_LIMIT:
            message = await receive()
            received += len(message.get("body", b""))
            if received <= BODY_LIMIT:
                return message
        raise ProblemError(413, "The body is larger than 1 MiB")

    return bounded


def _log(method: str, scope: Scope, record: RequestRecord, seconds: float) -> None:
    route = scope.get("route")
    fields: dict[str, object] = {
        "method": method,
        "route": getattr(route, "path", None),
        "status": record.status,
        "ms": round(seconds * 1000, 2),
        "request_id": record.request_id,
    }
    if record.user_id is not None:
        fields["user_id"] = record.user_id
    if record.refused is None:
        log.info("request", **fields)
        return
    client = scope.get("client")
    fields |= {"refused": record.refused, "client": client[0] if client else None}
    if record.path_user_id is not None:
        fields["path_user_id"] = record.path_user_id
    log.warning("request", **fields)

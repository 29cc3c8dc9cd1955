"""CORS: Starlette's middleware, with refusals in our error shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.middleware.cors import CORSMiddleware

from edge.problems import problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.datastructures import Headers
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "X-Request-ID",
)
_RESPONSE_HEADERS: Final = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Tasklog-Position",
    "X-Request-ID",
    "X-Total-Count",
)


class Cors(CORSMiddleware):
    """The exact origin is echoed, with credentials; `*` is refused with the settings."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            allow_credentials=True,
            expose_headers=_RESPONSE_HEADERS,
        )

        self._plain = [(b"vary", b"Origin")]
        self._shared = [(name.lower().encode(), value.encode()) for name, value in self.simple_headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette does, but on raw headers: a third of its cost."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is not None and scope["method"] == "OPTIONS":
            await super().__call__(scope, receive, send)
            return
        added = self._plain if origin is None else self._answer_headers(origin)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self.app(scope, receive, answer)

    def _answer_headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        if not self.is_allowed_origin(origin.decode("latin-1")):
            return self._plain
        return [*self._plain, *self._shared, (b"access-control-allow-origin", origin)]

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's answer, which is plain text, or a problem in its place where it refuses."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004
            return response
        allowed = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return problem(400, "This origin, method or header is not allowed from a browser", headers=allowed)

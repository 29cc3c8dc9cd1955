"""CORS: Starlette's middleware, with refusals in our error shape that name what was refused.

The origin is what protects users. An allowed origin may send any header, because proxies, tracing and request libraries
add their own headers, and one refused header fails the whole call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import structlog
from starlette.middleware.cors import CORSMiddleware

from edge.problem_kinds import Kind
from edge.problems import problem

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from starlette.datastructures import Headers
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

    from edge.requests import ServiceRequest

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_RESPONSE_HEADERS: Final = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "Tasklog-Cell",
    "Tasklog-Hash",
    "Tasklog-Position",
    "X-Request-ID",
    "X-Total-Count",
)
_LOCALHOST: Final = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
_LONGEST_ORIGIN: Final = 200
"""How many characters of an origin are logged."""
_MOST_ORIGINS: Final = 1000
"""How many refused origins are remembered. No more are logged, because strangers can invent any number."""

log: FilteringBoundLogger = structlog.get_logger()


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand for the app that Starlette's middleware calls: ours is asked for headers alone."""


class Cors(CORSMiddleware):
    """Echoes the exact origin, with credentials; the settings refuse `*`."""

    def __init__(self, *, origins: Collection[str], localhost: bool = False) -> None:
        """Allow `origins`, and with `localhost` any port of this machine, as development servers choose their ports."""
        super().__init__(
            _nothing,
            allow_origins=origins,
            allow_origin_regex=_LOCALHOST if localhost else None,
            allow_methods=_METHODS,
            allow_headers=["*"],
            allow_credentials=True,
            expose_headers=_RESPONSE_HEADERS,
            allow_private_network=True,
        )
        self._plain = [(b"vary", b"Origin")]
        self._shared = [(name.lower().encode(), value.encode()) for name, value in self.simple_headers.items()]
        self._refused: set[str] = set()

    def preflight(self, request: ServiceRequest) -> Response | None:
        """Return the answer to a preflight; None for any other request."""
        if request.scope["method"] != "OPTIONS" or not request.raw_values(b"origin"):
            return None
        if not request.raw_values(b"access-control-request-method"):
            return None
        return self.preflight_response(request.headers)

    def headers_for(self, request: ServiceRequest) -> Sequence[tuple[bytes, bytes]]:
        """Return what an answer to any other request has for browsers."""
        origin = request.raw_values(b"origin")
        return self._answer_headers(origin[0], request.scope) if origin else self._plain

    def _answer_headers(self, given: bytes, scope: Scope) -> list[tuple[bytes, bytes]]:
        origin = given.decode("latin-1")
        if not self.is_allowed_origin(origin):
            if (b"host", given.partition(b"://")[2]) not in scope["headers"]:  # the service's own pages may call it
                self._log_refused(origin)
            return self._plain
        return [*self._plain, *self._shared, (b"access-control-allow-origin", given)]

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return Starlette's answer; instead of its plain-text refusal, a problem that names what is refused."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:  # noqa: PLR2004
            return response
        allowed = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        origin = request_headers["origin"]
        if self.is_allowed_origin(origin):
            detail = f"This method is not allowed from a browser: use one of {', '.join(_METHODS)}"
        else:
            self._log_refused(origin)
            detail = "This origin is not allowed: the service's CORS_ORIGINS does not name it"
        return problem(Kind.REFUSED_PREFLIGHT, detail, headers=allowed)

    def _log_refused(self, origin: str) -> None:
        """Log a refused origin, once per origin."""
        shown = re.sub(r"[^ -~]", "?", origin[:_LONGEST_ORIGIN])
        if shown not in self._refused and len(self._refused) < _MOST_ORIGINS:
            self._refused.add(shown)
            log.warning("an origin is refused", origin=shown, setting="CORS_ORIGINS")

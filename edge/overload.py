"""Load shedding: above a number of requests and of body bytes in progress, a process answers 503."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.problems import ProblemError, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

IN_PROGRESS: Final = 4000
"""The most requests in progress: more than the queues hold (2,000 commands, 1,000 reads), few enough for memory."""
BODY_BYTES: Final = 64 * 1024 * 1024
"""The most bytes of all request bodies together, both arriving and in progress."""
SMALL: Final = 16 * 1024
"""Bytes of each body that are accepted even over BODY_BYTES."""

_DETAIL: Final = "The service has too much to do at the moment, try again"
_HEADERS: Final = {"Retry-After": "1"}


class LoadShedding:
    """An ASGI middleware, inside CORS and the log line.

    A request does not count as in progress while its body arrives. So many slow or large uploads do not make the
    service refuse others' ordinary requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._in_progress = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if self._in_progress >= IN_PROGRESS:
            await problem(503, _DETAIL, headers=_HEADERS)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            self._in_progress -= 1
            try:
                message = await receive()
            finally:
                self._in_progress += 1
            size = len(message.get("body", b""))
            received += size
            self._bytes += size
            if self._bytes > BODY_BYTES and received > SMALL:
                raise ProblemError(503, _DETAIL, headers=_HEADERS)
            return message

        self._in_progress += 1
        try:
            await self.app(scope, receive_counted, send)
        finally:
            self._in_progress -= 1
            self._bytes -= received

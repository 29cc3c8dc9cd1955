"""How much a process takes on at once, in requests and in bytes. Whatever comes beyond that is told to come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.problems import ProblemError, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

IN_PROGRESS: Final = 4000
"""Above what waits in good order (2,000 commands, 1,000 reads for a connection), and below what fills the memory."""
BODY_BYTES: Final = 64 * 1024 * 1024
"""What the bodies of all requests may have, those on their way and those that are worked on."""
SMALL: Final = 16 * 1024
"""So much of a body is taken in any case."""

_DETAIL: Final = "The service has too much to do at the moment, try again"
_HEADERS: Final = {"Retry-After": "1"}


class Bounded:
    """A layer within CORS and the log line, as plain ASGI.

    A request whose body is still on its way is not worked on: however many people send slowly, and however much,
    nobody else with an ordinary task is refused.
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

        async def bounded() -> Message:
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
            await self.app(scope, bounded, send)
        finally:
            self._in_progress -= 1
            self._bytes -= received

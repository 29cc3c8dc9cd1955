"""How many requests a process works on at once. Whatever comes beyond that is told at once to come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edge.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

IN_PROGRESS: Final = 4000
"""Above what waits in good order (2,000 commands, 1,000 reads for a connection), and below what fills the memory."""


class Bounded:
    """A layer within CORS and the log line, as plain ASGI.

    A request whose body is still on its way is not worked on: however many people send slowly, nobody else is refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if self._in_progress >= IN_PROGRESS:
            detail = "The service has too much to do at the moment, try again"
            await problem(503, detail, headers={"Retry-After": "1"})(scope, receive, send)
            return

        async def idle() -> Message:
            self._in_progress -= 1
            try:
                return await receive()
            finally:
                self._in_progress += 1

        self._in_progress += 1
        try:
            await self.app(scope, idle, send)
        finally:
            self._in_progress -= 1

"""Answers being sent: limits the bytes that a process holds for clients that have not read them yet."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from starlette.responses import Response

from domain.evolve import HistoryError
from edge.problem_kinds import Kind
from edge.problems import ProblemError
from event_log.codec import UnreadableEventError
from runtime.database import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send
    from structlog.typing import FilteringBoundLogger

ANSWER_BYTES: Final = 64 * 1024 * 1024
"""The most bytes of all answers that clients have not read yet."""
ANSWER_BYTES_OF_A_USER: Final = 16 * 1024 * 1024
"""The most bytes of one user's answers that are not read yet. Further ones of this user wait; other users do not."""
SMALL: Final = 16 * 1024
"""An answer of up to this many bytes is always sent, because the kernel buffers it at once."""
IN_PARTS_BYTES: Final = 2 * 1024 * 1024
"""The bytes that count for an answer in parts, however long it is: one part being read and one being sent."""
WAITING_SECONDS: Final = 30.0

log: FilteringBoundLogger = structlog.get_logger()


class _Waiting(NamedTuple):
    user: str | None
    size: int
    turn: asyncio.Future[None]


class Answers:
    """The room for answers, shared by all requests of a process."""

    def __init__(self) -> None:
        self._taken = 0
        self._of: Counter[str | None] = Counter()
        self._waiting: deque[_Waiting] = deque()

    @property
    def unread_bytes(self) -> int:
        """Return how many bytes of long answers clients have not read yet."""
        return self._taken

    @asynccontextmanager
    async def room(self, user: str | None, size: int) -> AsyncIterator[None]:
        """Reserve room for a user's answer until the block ends.

        Raises:
            ProblemError: 503, clients have not read enough of other answers in time.
        """
        if self._fits(user, size):
            self._take(user, size)
        else:
            await self._wait(user, size)
        try:
            yield
        finally:
            self._taken -= size
            self._of[user] -= size
            if not self._of[user]:
                del self._of[user]
            self._let_in()

    def _fits(self, user: str | None, size: int) -> bool:
        """Return whether there is room; one answer of any size fits while no other is being sent."""
        of_all, of_user = self._taken, self._of[user]
        return (not of_all or of_all + size <= ANSWER_BYTES) and (
            not of_user or of_user + size <= ANSWER_BYTES_OF_A_USER
        )

    def _take(self, user: str | None, size: int) -> None:
        self._taken += size
        self._of[user] += size

    async def _wait(self, user: str | None, size: int) -> None:
        # Waiting answers are in memory too, except those in parts.
        own = sum(waiting.size for waiting in self._waiting if waiting.user == user)
        if size + own > ANSWER_BYTES_OF_A_USER or size + sum(waiting.size for waiting in self._waiting) > ANSWER_BYTES:
            raise _too_many()
        waiting = _Waiting(user, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await asyncio.wait_for(asyncio.shield(waiting.turn), WAITING_SECONDS)
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it got its room at this very moment
                self._take(user, -size)
                self._let_in()
            if isinstance(error, TimeoutError):
                raise _too_many() from None
            raise

    def _let_in(self) -> None:
        """Give room to waiting answers, in order; skip those whose user has no room left."""
        for waiting in list(self._waiting):
            if self._fits(waiting.user, waiting.size):
                self._waiting.remove(waiting)
                self._take(waiting.user, waiting.size)
                waiting.turn.set_result(None)


def _too_many() -> ProblemError:
    detail = "Too many long answers are on their way to you: read them, or use a smaller `limit`, and try again"
    return ProblemError(Kind.UNREAD_ANSWERS, detail, headers={"Retry-After": "1"})


ANSWERS: Final = Answers()


class Ongoing(Response):
    """A response whose body is not there as a whole, but made while it is sent."""


class InParts(Ongoing):
    """A response whose body is made part by part; the next part is made when the previous one is being sent."""

    def __init__(self, parts: AsyncIterator[bytes], *, media_type: str, headers: Mapping[str, str]) -> None:
        """Take the parts of the body; the length is unknown."""
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Send the response. If a part cannot be made, cut it: the client sees that it is incomplete."""
        gone = asyncio.ensure_future(_disconnected(receive))
        begun = False
        try:
            async for part in self._parts:
                if gone.done():
                    return
                if not begun:
                    begun = True
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (UnavailableError, HistoryError, UnreadableEventError) as error:
            if not begun:
                raise
            log.warning("a long answer was cut", error=type(error).__name__)
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_in_its_room(response: Response, user: str | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response that is not small as soon as there is room, and hold the room until the client has read it.

    Raises:
        ProblemError: 503, there was no room in time; nothing was sent.
    """
    size = IN_PARTS_BYTES if isinstance(response, InParts) else len(response.body)

    async with ANSWERS.room(user, size):
        if isinstance(response, Ongoing):
            await response(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        # This is sent after the client has read most of the body.
        await send({"type": "http.response.body", "body": b""})


def is_small(response: Response) -> bool:
    """Return whether a response is small enough to be sent without waiting for room."""
    return len(response.body) <= SMALL and not isinstance(response, Ongoing)

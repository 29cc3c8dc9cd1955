"""Load shedding: above a number of requests and of body bytes in progress, a process answers 503."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from edge.problem_kinds import Kind
from edge.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive

IN_PROGRESS: Final = 4000
"""Requests in progress. More than the queues hold (2,000 commands, 1,000 reads), and less than fills the memory."""
BODY_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all request bodies together, those still arriving and those of requests in progress."""
SMALL: Final = 16 * 1024
"""Bytes of each body that are accepted even over BODY_BYTES."""


_loads: Final[WeakSet[Load]] = WeakSet()


class Load:
    """What a service has in progress.

    A request does not count as in progress while its body arrives. So many slow or large uploads do not make the
    service refuse others' ordinary requests.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        _loads.add(self)

    @property
    def is_full(self) -> bool:
        """Whether no further request is let in."""
        return self.requests >= IN_PROGRESS

    async def receive(self, receive: Receive) -> Message:
        """Receive a message; its request is not in progress meanwhile."""
        self.requests -= 1
        try:
            return await receive()
        finally:
            self.requests += 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do not count a request as in progress while it is held open."""
        self.requests -= 1
        try:
            yield
        finally:
            self.requests += 1

    def take(self, size: int, of_request: int) -> None:
        """Count bytes of a request of which `of_request` have come.

        Raises:
            ProblemError: 503, all bodies together are too much.
        """
        self.bytes += size
        if self.bytes > BODY_BYTES and of_request > SMALL:
            raise too_much()


def in_progress() -> tuple[int, int]:
    """Return how many requests this process has in progress, and how many bytes of bodies it holds."""
    return sum(load.requests for load in _loads), sum(load.bytes for load in _loads)


def too_much() -> ProblemError:
    """Return the refusal of a request that is too much."""
    detail = "The service has too much to do at the moment, try again"
    return ProblemError(Kind.OVERLOADED, detail, headers={"Retry-After": "1"})

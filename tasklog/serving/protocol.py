"""The limits of a connection: how slowly and how much a client may send, and how slowly it may take an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from edge.problem_kinds import Kind
from edge.problems import problem
from edge.requests import SECURITY_HEADERS
from tasklog.serving.connection import Connection
from tasklog.serving.exchange import RESTING, head

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

REQUEST_SECONDS: Final = 15.0
"""How long a whole request, header and body, may take, from its first byte or from the connection, in seconds."""
ANSWER_SECONDS: Final = 30.0
"""How long a client may take nothing of an answer, and how long a closing connection may last, in seconds."""
SLOWEST_BYTES_A_SECOND: Final = 4096
"""A client that takes less than this is disconnected, but not before ANSWER_SECONDS."""

_SWEEP_SECONDS: Final = 1.0
_CHECKED_AT_ONCE: Final = 1000
"""So many connections are checked before others get their turn."""
_OWN_FILES: Final = 128  # files other than connections: the database, Redis, logs
_most_connections = 1_000_000

log = structlog.get_logger()


class Protocol(Connection):
    """One connection.

    Times are in seconds of the loop's clock. `stuck_since`: since when the client has taken nothing of the waiting
    answer. At `taking_since`, `to_take` bytes were waiting for it.
    """

    closing_since: float | None = None
    stuck_since: float | None = None
    taking_since = 0.0
    to_take = 0
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, unless there are more than the process can have files."""
        super().connection_made(transport)
        if len(self.connections) > _most_connections:
            transport.abort()

    def check(self, now: float) -> None:
        """End the connection if its client is too slow; called about once a second."""
        if not (self.owed_since or self.idle_since or self._unsent or self.transport.get_write_buffer_size()):
            if self.current is not None:  # one of thousands of idle streams
                RESTING.add(self)
            return
        if self.transport.is_closing():
            self.closing_since = self.closing_since or now
            if now - self.closing_since > ANSWER_SECONDS:
                self.transport.abort()
        elif self._is_stuck(now):
            self.transport.abort()
        elif self.owed_since is not None:
            if now - self.owed_since > REQUEST_SECONDS:
                self.refuse(Kind.REQUEST_TOO_SLOW, "The request was not sent in time")
        elif self.idle_since is not None and now - self.idle_since >= self.keep_alive_seconds:
            self.transport.close()

    def _is_stuck(self, now: float) -> bool:
        """Return whether the client has taken nothing for too long, or takes the answer too slowly."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._unsent, self.stuck_since = 0, None
            return False
        if unsent > self._unsent or self.stuck_since is None:
            self.taking_since, self.to_take = now, unsent
        if unsent < self._unsent or self.stuck_since is None:
            self.stuck_since = now
        self._unsent = unsent
        seconds = ANSWER_SECONDS + self.to_take / SLOWEST_BYTES_A_SECOND
        return (now - self.stuck_since > ANSWER_SECONDS) or (now - self.taking_since > seconds)

    def refuse(self, kind: Kind, detail: str) -> None:
        """Refuse the request that is being read, and close. Those before it are answered first, and nothing after."""
        if self.is_refused or self.transport.is_closing():
            return
        log.info("a connection is refused", status=kind.status, client=self.client[0] if self.client else None)
        self.is_refused, self.owed_since = True, None
        refused = None if self.latest is None or self.latest.is_received else self.latest
        if refused in self.waiting:
            self.waiting.pop()
        if self.current is not None and self.current is not refused:
            self.flow.pause_reading()
            self.shutdown()
            return
        if refused is None or not refused.is_begun:
            answer = problem(kind, detail)
            headers = [*answer.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
            self.transport.write(head(kind.status, headers) + bytes(answer.body))
        if refused is not None:
            refused.abandon()
        self.transport.close()


async def sweep_forever(connections: AbstractSet[object]) -> None:
    """Check every connection that does not rest about once a second, with one timer for all."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        now = loop.time()
        for n, connection in enumerate(connections - RESTING):
            if isinstance(connection, Protocol):
                connection.check(now)
            if n % _CHECKED_AT_ONCE == 0:
                await asyncio.sleep(0)


def allow_many_connections() -> None:
    """Raise the process's limit of open files, and limit connections to what it allows."""
    global _most_connections  # noqa: PLW0603 - a limit of the process
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY:
        _most_connections = max(hard - _OWN_FILES, hard // 2)

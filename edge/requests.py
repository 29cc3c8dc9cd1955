"""A request as the services see it: its id, its headers, its body with a limit, and what its log line says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import getrandbits
from typing import TYPE_CHECKING, Final, cast

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from edge.problem_kinds import Kind
from edge.problems import ProblemError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from starlette.types import Message, Receive, Scope

    from edge.overload import Load

BODY_LIMIT: Final = 1024 * 1024
"""The largest body that is read, in bytes."""

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_NO_PARAMETERS: Final = QueryParams()
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(kw_only=True, slots=True)
class RequestRecord:
    """What the log line says of a request beyond its method and time, filled in on the way."""

    request_id: str
    route: str | None = None
    user_id: str | None = None
    refused: str | None = None
    path_user_id: str | None = None
    status: int | None = None
    trace_id: str | None = None
    valid_until: float = 0.0
    """When the token of an authorized request expires, leeway included, in UNIX seconds."""


class ServiceRequest(Request):
    """Starlette's request, with raw headers by name and a body that is read in one go, counted and limited."""

    def __init__(self, scope: Scope, receive: Receive, load: Load) -> None:
        """Take what ASGI hands over; `load` counts the bytes of the body."""
        # Without its own method as `receive`: a request that refers to itself waits for the garbage collector.
        super().__init__(scope)
        self._source = receive
        self._load = load
        self._by_name: dict[bytes, bytes] = dict(scope["headers"])
        self._repeated = len(self._by_name) < len(scope["headers"])
        declared = self._by_name.get(b"content-length", b"")
        self._declared = int(declared[:16]) if declared.isdigit() else 0
        self.received = 0
        """Bytes of the body so far."""
        self.record = RequestRecord(request_id=self._request_id())
        self.is_head = False

    @property
    def receive(self) -> Receive:
        """What receives the next part of the body, counted and limited."""
        return self._receive_counted

    def aside(self) -> AbstractContextManager[None]:
        """Do not count the request as in progress while it is held open."""
        return self._load.aside()

    async def gone(self) -> None:
        """Return when the client is gone; what it still sends is dropped."""
        while (await self._source())["type"] != "http.disconnect":
            pass

    @property
    def query_params(self) -> QueryParams:
        """Return the query's parameters; most requests have none."""
        return super().query_params if self.scope["query_string"] else _NO_PARAMETERS

    def raw_values(self, name: bytes) -> list[bytes]:
        """Return all raw values of a header; its name is in lower case."""
        if self._repeated:
            return [value for given, value in self.scope["headers"] if given == name]
        value = self._by_name.get(name)
        return [] if value is None else [value]

    def first_value(self, name: bytes) -> str | None:
        """Return the first value of a header, None without it; its name is in lower case."""
        values = self.raw_values(name)
        return values[0].decode("latin-1") if values else None

    def _request_id(self) -> str:
        """Return the client's own id if it is sane, else a new one."""
        sane = [value for value in self.raw_values(b"x-request-id") if _SANE_ID.fullmatch(value)]
        return sane[-1].decode() if sane else f"{getrandbits(128):032x}"

    async def body(self) -> bytes:
        """Return the whole body; most come in one message.

        Raises:
            ClientDisconnect: the client is gone.
            ProblemError: the body is too large (413), or there is too much to do (503).
        """
        if not hasattr(self, "_body"):
            message = await self._next_part()
            body = message.get("body", b"")
            while message.get("more_body"):
                message = await self._next_part()
                body += message.get("body", b"")
            self._body: bytes = body
        return self._body

    async def _next_part(self) -> Message:
        message = await self._receive_counted()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message

    async def _receive_counted(self) -> Message:
        """Receive a part of the body; raise 413 when the body is declared, or turns out, longer than BODY_LIMIT."""
        if self._declared > BODY_LIMIT:
            raise _too_large()
        message = await self._load.receive(self._source)
        size = len(message.get("body", b""))
        self.received += size
        if self.received > BODY_LIMIT:
            self._load.bytes += size
            raise _too_large()
        self._load.take(size, self.received)
        return message


def _too_large() -> ProblemError:
    return ProblemError(Kind.BODY_TOO_LARGE, "The body is larger than 1 MiB")


def record_of(request: Request) -> RequestRecord:
    """Return the record of this request."""
    return cast("ServiceRequest", request).record


def header_values(request: Request, name: bytes) -> list[bytes]:
    """Return all raw values of a header; its name is in lower case."""
    return cast("ServiceRequest", request).raw_values(name)


def header_value(request: Request, name: bytes) -> str | None:
    """Return the first value of a header, None without it; its name is in lower case."""
    return cast("ServiceRequest", request).first_value(name)

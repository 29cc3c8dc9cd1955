"""The span of a request. Its attributes hold no path, no user and no text: only what log lines hold, too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from runtime import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.requests import ServiceRequest
    from runtime.tracing import Tracer

_METHODS: Final = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_UNTRACED: Final = frozenset(["/health"])
"""Paths that load balancers ask every few seconds."""
_FAILED: Final = 500


@contextmanager
def request_span(tracer: Tracer, method: str, request: ServiceRequest) -> Iterator[None]:
    """Trace a request while the block answers it, as a part of the client's trace if there is a `traceparent`."""
    record = request.record
    if request.scope["path"] in _UNTRACED:
        yield
        return
    parents = request.raw_values(b"traceparent")
    known = method if method in _METHODS else "_OTHER"
    parent = parents[0].decode("latin-1") if len(parents) == 1 else None
    span = tracer.start(known, "server", parent=parent)
    record.trace_id = span.trace_id
    before = tracing.current.set(span.traceparent)
    try:
        yield
    finally:
        tracing.current.reset(before)
        status = record.status or _FAILED
        attributes: dict[str, str | int] = {"http.request.method": known, "tasklog.request_id": record.request_id}
        if record.route is not None:
            attributes["http.route"] = record.route
        if record.status is not None:
            attributes["http.response.status_code"] = status
        name = f"{known} {record.route}" if record.route else known
        span.end(attributes, name=name, failed=status >= _FAILED)

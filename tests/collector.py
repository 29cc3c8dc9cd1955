"""A collector of traces: takes OTLP over HTTP, decodes it by the official package, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A span that arrived, and the service that sent it."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: frozenset[str]
    attributes: dict[str, Any]
    failed: bool
    began: int
    ended: int


@dataclass(kw_only=True)
class Collector:
    """What has arrived at an address; while `status` is not 200, spans are refused."""

    url: str
    status: int = 200
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """Return the settings of a service that sends its spans here, at once."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def of(self, trace: str) -> dict[str, list[Seen]]:
        """Return the spans of a trace by name."""
        found: dict[str, list[Seen]] = {}
        for span in [*self.spans]:
            if span.trace == trace:
                found.setdefault(span.name, []).append(span)
        return found

    def one(self, trace: str, name: str) -> Seen | None:
        """Return the only span of a trace with a name, None before it has arrived."""
        spans = self.of(trace).get(name, [])
        assert len(spans) < 2, spans
        return spans[0] if spans else None


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        collector = cast("_Server", self.server).collector
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if collector.status == 200:
            collector.bodies.append(body)
            collector.spans += _spans(body)
        self.send_response(collector.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    collector: Collector


def _spans(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=service,
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind),
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    links=frozenset(link.span_id.hex() for link in span.links),
                    attributes=_values(span.attributes),
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    began=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect on a free port of this machine."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.collector = Collector(url=f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.collector
        finally:
            server.shutdown()
            thread.join()

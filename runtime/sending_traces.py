"""Sends traces to an OTLP collector by OpenTelemetry's SDK, which reads the OTEL_* variables itself.

Spans are sent by a thread. Whatever the collector does costs the service nothing; it only loses spans.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import Tracer as SdkTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.tracing import Kind, Span, Tracer
from runtime.version import VERSION

_FLUSH_SECONDS: Final = 0.5
"""How long the end of a process waits for its last spans to be sent, in seconds."""
_KINDS: Final = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
_SILENCED: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")
"""Loggers that write a line for each attempt; ours are enough."""
_NOWHERE: Final = Context()

log = structlog.get_logger()


class _Span:
    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        self._context = span.get_span_context()

    @property
    def trace_id(self) -> str:
        return f"{self._context.trace_id:032x}"

    @property
    def traceparent(self) -> str | None:
        context = self._context
        if not context.trace_flags.sampled:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, attributes: Mapping[str, str | int], *, name: str | None = None, failed: bool = False) -> None:
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Tracer:
    def __init__(self, tracer: SdkTracer) -> None:
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    def start(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        began: int | None = None,
    ) -> Span:
        span = self._tracer.start_span(
            name,
            _NOWHERE if parent is None else self._context(parent),
            _KINDS[kind],
            links=[Link(self._named(link)) for link in links],
            start_time=began,
        )
        return _Span(span)

    def _context(self, traceparent: str) -> Context:
        """Return the context that a traceparent names; one that is not valid names none."""
        return self._propagator.extract({"traceparent": traceparent}, _NOWHERE)

    def _named(self, traceparent: str) -> SpanContext:
        return get_current_span(self._context(traceparent)).get_span_context()


class _Reporting(SpanExporter):
    """Logs when sending begins to fail, and when it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            log.warning("the collector of OTEL_EXPORTER_OTLP_ENDPOINT takes no traces: they are lost until it does")
        elif self._fails and not fails:
            log.warning("the collector takes traces again")
        self._fails = fails
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@contextmanager
def sending(service: str) -> Iterator[Tracer]:
    """Yield a tracer whose spans are sent while the block runs; at its end the last ones have `_FLUSH_SECONDS`."""
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Reporting(OTLPSpanExporter())))
    log.info("traces are sent", service=service)
    try:
        yield _Tracer(provider.get_tracer("tasklog", VERSION))
    finally:
        # A thread that Python does not wait for at its end: a collector that hangs cannot hold up the process.
        ending = Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)


def _resource(service: str) -> Resource:
    """Return what the spans say of their process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = {} if is_named else {"service.name": f"tasklog-{service.replace('_', '-')}"}
    return Resource.create({"service.version": VERSION, **named})

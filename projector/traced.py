"""Spans of projected events: each goes on with the trace that the event's metadata name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime import tracing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def trace_projection(events: Sequence[Any], reached: Mapping[str, int], began: int) -> None:
    """Trace a batch that was committed, and each of its events up to the positions that users reached.

    `began` is when the batch began, in ns since 1970.
    """
    tracer = tracing.tracer
    traced = [row for row in events if row["traceparent"] and row["position"] <= reached[row["user_id"]]]
    if tracer is None or not traced:
        return
    whole = tracer.start("project a batch", "consumer", links=[row["traceparent"] for row in traced], began=began)
    links = [] if whole.traceparent is None else [whole.traceparent]
    for row in traced:
        span = tracer.start("project", "consumer", parent=row["traceparent"], links=links, began=began)
        span.end({"tasklog.event_type": row["type"]})
    whole.end({"tasklog.events": len(events)})

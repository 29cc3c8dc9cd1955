"""Spans of commands: how long each waits in its queue, and the append of its batch.

A batch has a span of its own, linked with the requests of its commands, because it belongs to all of their traces.
Each command's span of the append is named in its events' metadata: there the projector goes on with the trace.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from runtime import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from command_api.waiting import Waiting
    from runtime.tracing import Span, Tracer

_UNTRACED: Final = nullcontext()


class CommandTrace:
    """The request of a command, and the command's time in the queue."""

    def __init__(self, request: str, waiting: Span) -> None:
        self.request = request
        self._waiting: Span | None = waiting

    def end_waiting(self) -> None:
        """Note that the command is carried out now, for the first time."""
        if self._waiting is not None:
            self._waiting.end({})
            self._waiting = None


def begin_waiting() -> CommandTrace | None:
    """Begin to trace a command that enters its queue; None if its request is not traced."""
    tracer, request = tracing.tracer, tracing.current.get()
    if tracer is None or request is None:
        return None
    return CommandTrace(request, tracer.start("queue", parent=request))


def appending(batch: Sequence[Waiting]) -> AbstractContextManager[None]:
    """Trace a batch while the block carries it out, and its traced commands, each in its own trace."""
    tracer = tracing.tracer
    return _UNTRACED if tracer is None else _appending(tracer, batch)


@contextmanager
def _appending(tracer: Tracer, batch: Sequence[Waiting]) -> Iterator[None]:
    traces = [waiting.trace for waiting in batch if waiting.trace is not None]
    if not traces:
        yield
        return
    whole = tracer.start("append a batch", links=[trace.request for trace in traces])
    links = [] if whole.traceparent is None else [whole.traceparent]
    spans: list[Span] = []
    for waiting in batch:
        if waiting.trace is not None:
            waiting.trace.end_waiting()
            spans.append(span := tracer.start("append", parent=waiting.trace.request, links=links))
            waiting.request = waiting.request._replace(traceparent=span.traceparent)
    failed = True
    try:
        yield
        failed = False
    finally:
        for span in spans:
            span.end({}, failed=failed)
        whole.end({"tasklog.commands": len(batch)}, failed=failed)

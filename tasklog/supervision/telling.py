"""What the supervisor tells its operator. A terminal that is gone, or a full disk, must not end what it supervises."""

from __future__ import annotations

import sys

from runtime.log_sink import Sink, descriptor_of

_stdout, _stderr = (
    Sink(descriptor_of(stream), lambda lines: f"{lines} lines before this could not be written.".encode())
    for stream in (sys.__stdout__, sys.__stderr__)
)


def tell(text: str, *, err: bool = False) -> None:
    """Print to stdout, or to stderr; what cannot be written is counted, and told with the next that can."""
    sink = _stderr if err else _stdout
    sink.write(f"{text}\n")
    sink.flush()

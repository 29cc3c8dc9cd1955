"""What the supervisor prints. A closed terminal or a full disk must not end the processes that it supervises."""

from __future__ import annotations

import sys

from runtime.log_sink import Sink, descriptor_of

_stdout, _stderr = (
    Sink(descriptor_of(stream), lambda lines: f"{lines} earlier lines could not be written.".encode())
    for stream in (sys.__stdout__, sys.__stderr__)
)


def tell(text: str, *, err: bool = False) -> None:
    """Print to stdout or stderr; lines that cannot be written are counted and reported before the next line."""
    sink = _stderr if err else _stdout
    sink.write(f"{text}\n")
    sink.flush()

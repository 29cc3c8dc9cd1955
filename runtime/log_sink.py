"""Where log lines go: a file, pipe or terminal that may be closed, full, or not read, which must end no request."""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import threading
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE: Final = 0.1
"""Seconds that a writer waits, once, for somebody who reads slowly."""
_ALWAYS_TAKEN: Final = 4096
"""Bytes that a pipe takes without waiting whenever it says that it can be written. (PIPE_BUF)"""


class Sink:
    """A stream for whole lines that never raises and hardly waits; lines that could not be written are counted.

    Their number goes before the next line that can be written.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], bytes]) -> None:
        """Write to a file descriptor; `notice` makes a line, without its end, of the number of lost lines."""
        self._descriptor = descriptor
        self._notice = notice
        self._waiting = bytearray()
        self._lost = 0
        self._cut = False
        """Whether the last line was written in part."""
        self._turn = threading.Lock()
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self._turn_ends = False
        """Whether the running event loop will write what was taken."""
        atexit.register(self.write_out)

    def write(self, data: str | bytes) -> int:
        """Take a line, or a part of one, until `flush`."""
        with self._turn:
            self._waiting += data.encode(errors="backslashreplace") if isinstance(data, str) else data
        return len(data)

    def flush(self) -> None:
        """Write what was taken; within an event loop all lines of its turn go out in one write."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write_out()
        else:
            if not self._turn_ends:
                self._turn_ends = True
                loop.call_soon(self.write_out)

    def write_out(self) -> None:
        """Write what was taken, or count it as lost."""
        self._turn_ends = False
        with self._turn:
            lines, self._waiting = self._waiting, bytearray()
            if not lines:
                return
            told = self._notice(self._lost) + b"\n" if self._lost else b""
            ended = b"\n" if self._cut else b""
            if self._deliver(ended + told + lines if self._lost or self._cut else lines):
                self._lost = 0
            else:
                self._lost += max(lines.count(b"\n"), 1)

    def _deliver(self, data: bytes | bytearray) -> bool:
        rest = memoryview(data)
        try:
            while rest and self._takes_more():
                rest = rest[os.write(self._descriptor, rest[:_ALWAYS_TAKEN]) :]
        except OSError:
            pass
        if len(rest) < len(data):
            self._cut = bool(rest)
        return not rest

    def _takes_more(self) -> bool:
        """Whether a write would not wait. Who has lost a line already is not waited for."""
        return bool(self._ready.poll(0 if self._lost else _PATIENCE * 1000))


def descriptor_of(stream: TextIO | None) -> int:
    """Return a stream's file descriptor; where the process was started without it, of a file that swallows all."""
    return os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()

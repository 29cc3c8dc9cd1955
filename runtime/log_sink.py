"""Where log lines go: a file, pipe or terminal. It may be closed, full or not read, but no request fails for that."""

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
"""How long a write waits for a slow reader, in seconds. After a lost line it no longer waits."""
_ALWAYS_TAKEN: Final = 4096
"""How many bytes a pipe accepts at once whenever poll says that it is writable (PIPE_BUF)."""


class Sink:
    """A stream for whole lines that never raises and hardly waits. It counts lines that could not be written.

    The count is written before the next line that succeeds.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], bytes]) -> None:
        """Write to a file descriptor; `notice` returns the line, without newline, that counts the lost lines."""
        self._descriptor = descriptor
        self._notice = notice
        self._waiting = bytearray()
        self._lost = 0
        self._cut = False
        """Whether only a part of the last line was written."""
        self._turn = threading.Lock()
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self._turn_ends = False
        """Whether the running event loop will write the waiting lines at the end of this turn."""
        atexit.register(self.write_out)

    def write(self, data: str | bytes) -> int:
        """Store a line, or part of one, until `flush`."""
        with self._turn:
            self._waiting += data.encode(errors="backslashreplace") if isinstance(data, str) else data
        return len(data)

    def flush(self) -> None:
        """Write the stored lines; inside an event loop, all lines of one turn of the loop are written together."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write_out()
        else:
            if not self._turn_ends:
                self._turn_ends = True
                loop.call_soon(self.write_out)

    def write_out(self) -> None:
        """Write the stored lines, or count them as lost."""
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
        """Return whether a write would not block. After a lost line this does not wait at all."""
        return bool(self._ready.poll(0 if self._lost else _PATIENCE * 1000))


def descriptor_of(stream: TextIO | None) -> int:
    """Return a stream's file descriptor; if the process was started without that stream, one of /dev/null."""
    return os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()

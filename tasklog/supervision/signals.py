"""Waiting without polling: until a child ends, a socket is readable, or this process is told to stop."""

from __future__ import annotations

import select
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class StopRequested(Exception):  # noqa: N818 - no error
    """SIGINT, SIGTERM or SIGHUP was received."""


class Signals:
    """Turns signals into the end of a wait, so that a stop only happens at known places.

    Create it in the main thread, once per process.
    """

    def __init__(self) -> None:
        """Handle the signals from now on."""
        self._stop_requested = False
        self._wakeups, writer = socket.socketpair()
        self._wakeups.settimeout(0)
        writer.settimeout(0)
        self._writer = writer  # kept open: closing it would end the wake-ups
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for stopping in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if stopping is not signal.SIGHUP or signal.getsignal(stopping) is not signal.SIG_IGN:  # started with nohup
                signal.signal(stopping, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def wait(self, timeout: float | None = None, also: socket.socket | None = None) -> bool:
        """Return at a signal, after `timeout` seconds, or when `also` is readable; True if it is.

        Raises:
            StopRequested: this process must end.
        """
        self.check()
        sockets = [self._wakeups] if also is None else [self._wakeups, also]
        ready, _, _ = select.select(sockets, [], [], timeout)
        with suppress(BlockingIOError):
            self._wakeups.recv(4096)
        self.check()
        return also in ready

    def check(self) -> None:
        """Raise StopRequested if this process must end."""
        if self._stop_requested:
            raise StopRequested

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True

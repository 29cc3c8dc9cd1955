"""Waiting without polling: until a child ends, a socket is readable, or this process is told to stop."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class StopRequested(Exception):  # noqa: N818 - no error
    """SIGINT or SIGTERM was received, or the terminal was closed."""


class Signals:
    """Turns signals into the end of a wait, so that a stop only happens at known places.

    SIGHUP means two things: that the terminal was closed, which ends this process, or, if somebody sends it, that all
    workers are to be replaced.

    Create it in the main thread, once per process.
    """

    def __init__(self) -> None:
        """Handle the signals from now on."""
        self._stop_requested = self._hung_up = False
        self._had_terminal = _has_terminal()
        self._needs_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # started without nohup
        self._wakeups, writer = socket.socketpair()
        self._wakeups.settimeout(0)
        writer.settimeout(0)
        self._writer = writer  # kept open: closing it would end the wake-ups
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for stopping in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stopping, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)
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

    def take_hang_up(self) -> bool:
        """Return whether somebody sent SIGHUP since this was last called."""
        hung_up, self._hung_up = self._hung_up, False
        return hung_up

    def check(self) -> None:
        """Raise StopRequested if this process must end."""
        if self._stop_requested:
            raise StopRequested

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():
            self._had_terminal = False
            self._stop_requested |= self._needs_terminal
        else:
            self._hung_up = True


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True

"""Keeping processes running: a process that ends is restarted, after a growing delay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from runtime.settings import SettingsError
from tasklog.supervision.telling import tell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 1.5  # seconds; with the time of a start, within the promised 5 s
_HEALTHY_AFTER = 5.0


class Part(Protocol):
    """A process to keep running: a server or a service."""

    name: str
    process: subprocess.Popen[bytes] | None

    def start(self, pause: Callable[[float], object]) -> None:
        """Start the process."""

    def stop(self, timeout: float) -> None:
        """End the process within `timeout` seconds."""


class Keeper:
    """One part, and when to restart it."""

    def __init__(self, part: Part) -> None:
        """Keep a part; `start` starts it."""
        self.part = part
        self.restart_at: float | None = None
        self._started_at = 0.0
        self._delay = _FIRST_DELAY

    def start(self, pause: Callable[[float], object]) -> None:
        """Start the part."""
        self._started_at = time.monotonic()
        self.part.start(pause)

    def take(self, part: Part) -> None:
        """Keep another part from now on, which was just started in the place of this one."""
        self.part = part
        self._started_at = time.monotonic()

    def exit_code(self) -> int | None:
        """Return the exit code of a part that has ended, negative for a signal, or None while it runs."""
        return self.part.process.poll() if self.part.process is not None else None

    def look(self, pause: Callable[[float], object]) -> None:
        """Restart the part if it has ended and its delay is over; wait while it starts."""
        code = self.exit_code()
        if code is None:
            return
        if self.restart_at is None:
            self._plan_restart(f"ended with {code}" if code >= 0 else f"was ended by signal {-code}")
        elif time.monotonic() >= self.restart_at:
            self.restart_at = None
            try:
                self.start(pause)
            except SettingsError as error:
                if self.exit_code() is None:
                    tell(f"{self.part.name} runs again, but does not answer yet: {error}", err=True)
                else:
                    self._plan_restart(f"did not start again: {error}")

    def _plan_restart(self, what: str) -> None:
        now = time.monotonic()
        if now - self._started_at > _HEALTHY_AFTER:
            self._delay = _FIRST_DELAY
        tell(f"{self.part.name} {what}; it is started again in {self._delay:.1f} s.", err=True)
        self.restart_at = now + self._delay
        self._delay = min(2 * self._delay, _LONGEST_DELAY)

"""How a service stops on a signal: at once while it starts, and later after finishing open work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runtime.database import give_up_databases

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE_SECONDS: Final = 2.0
"""How long a stop waits for the database before open requests are told that it is unavailable, in seconds.

With the 3 s for open requests, and the time for closing, this stays within the 5 s in which `./run` ends.
"""


class StoppedAtStart(Exception):  # noqa: N818 - no error
    """The process was told to stop before it had started."""


class Stopping:
    """What a signal does to a service; made by `stoppable`."""

    def __init__(self) -> None:
        self.stopped_at_start = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._stop: Callable[[], object] | None = None

    def started(self, stop: Callable[[], object]) -> None:
        """Call `stop` on a signal from now on."""
        self._stop = stop

    def on_signal(self) -> None:
        """Stop the service; if it is still starting, cancel the start."""
        if self._stop is not None:
            self._stop()
            self._loop.call_later(PATIENCE_SECONDS, give_up_databases)
        elif self._task is not None:
            self.stopped_at_start = True
            self._task.cancel()


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Handle the stop signals for the task of a service.

    Raises:
        StoppedAtStart: a signal came before `Stopping.started` was called.
    """
    loop, stopping = asyncio.get_running_loop(), Stopping()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # started with nohup
            loop.add_signal_handler(number, stopping.on_signal)
    try:
        yield stopping
    except asyncio.CancelledError:
        if stopping.stopped_at_start:
            raise StoppedAtStart from None
        raise

"""How a service is told to stop: at once while it starts, and later after what is under way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runtime.database import give_up_databases

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE_SECONDS: Final = 2.0
"""How long a stop waits for the database before whoever waits for it is told that it is not available.

With the 3 s of open requests, and what closing takes, it is within the 5 s in which `./run` ends.
"""


class StoppedAtStart(Exception):  # noqa: N818 - no error
    """The process was told to stop before it had started."""


class Stopping:
    """What a signal does; `stoppable` makes it."""

    def __init__(self) -> None:
        self.stopped_at_start = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._stop: Callable[[], object] | None = None

    def started(self, stop: Callable[[], object]) -> None:
        """Have a signal call `stop` from now on."""
        self._stop = stop

    def on_signal(self) -> None:
        """Stop."""
        if self._stop is not None:
            self._stop()
            self._loop.call_later(PATIENCE_SECONDS, give_up_databases)
        elif self._task is not None:
            self.stopped_at_start = True
            self._task.cancel()


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Take the signals over for the task of a service.

    Raises:
        StoppedAtStart: a signal came before `Stopping.started` was called.
    """
    loop, stopping = asyncio.get_running_loop(), Stopping()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, stopping.on_signal)
    try:
        yield stopping
    except asyncio.CancelledError:
        if stopping.stopped_at_start:
            raise StoppedAtStart from None
        raise

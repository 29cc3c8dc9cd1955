"""The child processes of a supervisor: started in order, kept running, replaced one after the other, and ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tasklog.supervision.keeper import Keeper
from tasklog.supervision.service import START_ERROR, Service
from tasklog.supervision.telling import tell
from tasklog.supervision.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasklog.supervision.keeper import Part
    from tasklog.supervision.signals import Signals

_START_SECONDS: Final = 60
"""How long a worker may take to be ready, in seconds."""
_DRAIN_SECONDS: Final = 40
"""How long a replaced worker may take to end, in seconds."""
_STOP_SECONDS: Final = 4.6
_SERVICES_STOP_SECONDS: Final = 3.3


class Crew:
    """The processes, in the order of their start."""

    refused_code = START_ERROR
    """The exit code of this process if a worker cannot start with these settings."""

    def __init__(self, signals: Signals) -> None:
        """Prepare, without starting anything."""
        self._signals = signals
        self._keepers: list[Keeper] = []
        self._replaced: list[Worker] = []
        """Workers that start in the place of others, or end because they were replaced."""

    def start(self, part: Part) -> Keeper:
        """Start a process, which is kept running from now on."""
        keeper = Keeper(part)
        self._keepers.append(keeper)  # before the start, so that a stop during the start ends it
        keeper.start(self._signals.wait)
        return keeper

    def keep_running(self) -> None:
        """Restart whatever ends, and replace all workers when asked to, until this process is told to stop."""
        while True:
            if self._signals.take_hang_up():
                self._replace_workers()
            self._look()
            self._signals.wait(self._until_restart())

    def wait_until_ready(self, workers: Iterable[Worker], seconds: float = _START_SECONDS) -> bool:
        """Return whether all of these workers are ready within some seconds.

        Raises:
            SystemExit: one cannot start with these settings, and has said why.
        """
        deadline = time.monotonic() + seconds
        return all(self._is_ready(worker, deadline) for worker in workers)

    def _is_ready(self, worker: Worker, deadline: float) -> bool:
        while time.monotonic() < deadline:
            if any(keeper.exit_code() == START_ERROR for keeper in self._keepers):
                raise SystemExit(self.refused_code)
            if self._signals.wait(self._until_restart(deadline), worker.ready) and worker.tell_ready():
                return True
            self._look()
        return False

    def _replace_workers(self) -> None:
        """Start a new worker in the place of each, one after the other, so that there is never one fewer."""
        tell("Restarting the workers, one after the other.")
        for keeper in self._keepers:
            # A worker that has ended is started anew in any case.
            if (
                isinstance(keeper.part, Worker)
                and keeper.exit_code() is None
                and not self._replace(keeper, keeper.part)
            ):
                tell(f"{keeper.part.name} was not replaced, nor those after it: the new one did not start.", err=True)
                return
        tell("All workers were restarted.")

    def _replace(self, keeper: Keeper, old: Worker) -> bool:
        new = old.successor()
        self._replaced.append(new)
        new.start()
        if not self._starts(new):
            new.stop(_SERVICES_STOP_SECONDS)
            self._replaced.remove(new)
            return False
        keeper.take(new)
        self._replaced[:] = [old]
        old.drain()
        deadline = time.monotonic() + _DRAIN_SECONDS
        while old.process is not None and old.process.poll() is None and time.monotonic() < deadline:
            self._look()
            self._signals.wait(self._until_restart(deadline))
        old.stop(_SERVICES_STOP_SECONDS)
        self._replaced.clear()
        return True

    def _starts(self, worker: Worker) -> bool:
        """Return whether a new worker is ready in time; nothing else stops meanwhile."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._signals.wait(self._until_restart(deadline), worker.ready):
                return worker.tell_ready()
            self._look()
        return False

    def close(self) -> None:
        """End the services together, then the servers in reverse order of their start; all within 5 s."""
        began = time.monotonic()
        services = [keeper.part for keeper in self._keepers if isinstance(keeper.part, Service)]
        for service in (services := [*services, *self._replaced]):
            service.ask_to_stop()
        for service in services:
            service.stop(began + _SERVICES_STOP_SECONDS - time.monotonic())
        for keeper in reversed(self._keepers):
            keeper.part.stop(began + _STOP_SECONDS - time.monotonic())

    def _look(self) -> None:
        for keeper in self._keepers:
            keeper.look(self._signals.wait)

    def _until_restart(self, *further: float) -> float | None:
        """Return the seconds until the next planned restart or `further` time, or None if there is none."""
        times = [*further, *(keeper.restart_at for keeper in self._keepers if keeper.restart_at is not None)]
        return max(0.0, min(times) - time.monotonic()) if times else None

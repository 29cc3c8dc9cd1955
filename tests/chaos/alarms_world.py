"""A world whose services a real Prometheus scrapes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.standby_reads import StandbyWorld
from tests.chaos.world import World
from tests.machine import free_port
from tests.prometheus import RULES, hurried, running_prometheus


@dataclass(kw_only=True, slots=True)
class Alarm:
    """A fault, the alerts that must tell of it, and what was seen: `fired` has the seconds until each fired.

    `firing` are those that fired when the last look was taken.
    """

    fault: str
    alerts: frozenset[str]
    fired: dict[str, float] = field(default_factory=dict)
    firing: frozenset[str] = frozenset()
    ended_seconds: float = 0.0

    def __str__(self) -> str:
        fired = ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in self.fired.items())
        return f"{self.fault}: {fired or 'no alert'}; over {self.ended_seconds:.1f} s after it"


class AlarmedWorld(World):
    """A world in which each service has an admin port, which stays the same when the service is started again."""

    def open(self) -> None:
        """Start everything, then Prometheus with our rules."""
        self.alarms: list[Alarm] = []
        self._admin_ports: list[int] = []
        super().open()
        directory = self.directory / "prometheus"
        directory.mkdir()
        targets = [f"127.0.0.1:{port}" for port in self._admin_ports]
        running = running_prometheus(directory, targets, hurried(RULES))
        self.prometheus = self._stack.enter_context(running)

    def _of_one_service(self) -> dict[str, str]:
        self._admin_ports.append(free_port())
        return {"ADMIN_PORT": f"{self._admin_ports[-1]}"}

    def watch(self, alarm: Alarm, is_seen: Callable[[], bool], seconds: float) -> None:
        """Look at the alerts until something is seen, for `seconds` at most."""
        began = time.monotonic()
        while True:
            alarm.firing = self.prometheus.firing()
            passed = time.monotonic() - began
            for name in alarm.firing:
                alarm.fired.setdefault(name, passed)
            if is_seen() or passed > seconds * self.patience:
                return
            self.pause(0.1)


class AlarmedStandbyWorld(AlarmedWorld, StandbyWorld):
    """A world with a standby, whose services a Prometheus scrapes."""

    def open(self) -> None:
        """Start everything, then the standby: until the services read there, an alert says that they do not."""
        super().open()
        self.follow()


def needs_prometheus() -> str | None:
    return None if shutil.which("prometheus") else "prometheus is not installed (Debian's package prometheus)"

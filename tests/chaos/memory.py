"""How much memory the services take: idle, and at their peak."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tasklog.supervision.service import Service
from tests.chaos.checker import Violation

MOST_MB: Final = 400
"""The most memory that a process may take, whatever users do, in MB."""

_FIGURE: Final = re.compile(r"^(VmHWM|VmRSS):\s+(\d+) kB$", re.MULTILINE)


class Memory:
    """The figures of a world's services in MB, by name; for services of the same name the largest."""

    def __init__(self) -> None:
        self.idle: dict[str, int] = {}
        self.peak: dict[str, int] = {}

    def look(self, services: Iterable[Service], *, idle: bool = False) -> None:
        """Record the memory of the running services. The kernel keeps each process's peak until the process ends."""
        for service in services:
            if service.process is not None:
                self.note(service.name.removeprefix("The "), service.process.pid, idle=idle)

    def note(self, name: str, process: int, *, idle: bool = False) -> None:
        """Record the memory of one process by its id."""
        figures = _figures(process)
        self.peak[name] = max(self.peak.get(name, 0), figures.get("VmHWM", 0))
        if idle:
            self.idle[name] = max(self.idle.get(name, 0), figures.get("VmRSS", 0))

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {peak} MB at most" + (f" ({self.idle[name]} idle)" if name in self.idle else "")
            for name, peak in sorted(self.peak.items())
        )


def check_memory(memory: Memory) -> Iterator[Violation]:
    """Check that no process took more memory than it may."""
    for name, peak in memory.peak.items():
        if peak > MOST_MB:
            yield Violation(f"a process stays under {MOST_MB} MB", "all", f"{name}: {peak} MB")


def _figures(process: int) -> dict[str, int]:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    return {name: int(kilobytes) // 1024 for name, kilobytes in _FIGURE.findall(status)}

"""What processes of this machine take, from /proc: CPU time and memory. Linux alone; elsewhere all figures are 0."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """Return a process and all its descendants that run now."""
    below = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(path.name)):
            below[int(fields[1])].append(int(path.name))
    found = [root]
    for pid in found:  # grows meanwhile
        found += below[pid]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process took so far, 0 if it has ended."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def cpu_seconds_below(root: int) -> float:
    """Return the CPU time of a process and all its descendants, including those that have ended."""
    ended = _stat(root)[13:15]
    return sum(map(cpu_seconds, tree(root))) + sum(map(int, ended)) / _TICKS


def scheduled(pid: int) -> tuple[float, float]:
    """Return for how long a process has run, and for how long it has waited for a core, both in seconds.

    It counts nanoseconds, so it also tells what something short takes.
    """
    try:
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    return int(ran) / 1e9, int(waited) / 1e9


def memory(pid: int) -> float:
    """Return the resident memory of a process now, in MB."""
    return _status(pid, "VmRSS")


def peak_memory(pid: int) -> float:
    """Return the most resident memory that a process ever had, in MB."""
    return _status(pid, "VmHWM")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc after a process's name; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int, name: str) -> float:
    try:
        found = re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found[1]) / 1024 if found else 0.0

"""The cost of an idle `./run`: CPU and memory of each process. Linux only."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.lab import free_port
from tasklog.embedded.child import end, spawn

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """A process: its share of one core in percent, its resident memory in MB."""

    name: str
    cpu: float
    memory: float


def idle(directory: Path, seconds: float) -> list[Usage]:
    """Start `./run`, wait some seconds, and return what each of its processes used."""
    output = directory / "idle.log"
    env = {**os.environ, "DATA_DIR": str(directory / "idle"), "API_PORT": str(free_port())}
    with output.open("wb") as log:
        root = spawn([sys.executable, "-m", "tasklog", "serve"], env=env, output=log)
    try:
        while b"listens on" not in output.read_bytes():
            if root.poll() is not None:
                raise SystemExit(f"./run ended: see {output}")
            time.sleep(0.1)
        time.sleep(5)
        before = {pid: cpu_seconds(pid) for pid in tree(root.pid)}
        time.sleep(seconds)
        return [
            Usage(name=_name(pid), cpu=100 * (cpu_seconds(pid) - spent) / seconds, memory=_memory(pid))
            for pid, spent in before.items()
            if Path(f"/proc/{pid}").exists()
        ]
    finally:
        end(root, signal.SIGTERM, 10)


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


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc after a process's name; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
    if "tasklog" in words:
        return " ".join(word for word in words[words.index("tasklog") :] if not word.startswith("-"))
    return "postgres" if "postgres" in words[0] else Path(words[0]).name

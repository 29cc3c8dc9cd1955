"""The cost of an idle `./run`: CPU and memory of each process. Linux only."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.lab import free_port
from bench.processes import cpu_seconds, memory, tree
from tasklog.embedded.child import end, spawn


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
            Usage(name=_name(pid), cpu=100 * (cpu_seconds(pid) - spent) / seconds, memory=memory(pid))
            for pid, spent in before.items()
            if Path(f"/proc/{pid}").exists()
        ]
    finally:
        end(root, signal.SIGTERM, 10)


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().split()
    if "tasklog" in words:
        return " ".join(word for word in words[words.index("tasklog") :] if not word.startswith("-"))
    return "postgres" if "postgres" in words[0] else Path(words[0]).name

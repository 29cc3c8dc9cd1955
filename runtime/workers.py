"""How many processes of one kind a machine, or a container, has room for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

AUTO: Final = "auto"
MOST_WORKERS: Final = 64

_WORKER_BYTES: Final = 400 * 10**6
"""The most memory that a process takes, see docs/operate/capacity.md."""
_OTHERS_BYTES: Final = 100 * 10**6
"""Memory for the process that supervises them."""
_CGROUP: Final = Path("/sys/fs/cgroup")


def workers_that_fit(cgroup: Path = _CGROUP) -> int:
    """Return one worker a core, or fewer where a container's limits of CPU or memory are lower."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        cores = os.cpu_count() or 1
    limits = [cores, MOST_WORKERS]
    with suppress(OSError, ValueError):  # "max" is no limit
        quota, period = (int(text) for text in (cgroup / "cpu.max").read_text().split())
        limits.append(-(-quota // period))
    with suppress(OSError, ValueError):
        limits.append((int((cgroup / "memory.max").read_text()) - _OTHERS_BYTES) // _WORKER_BYTES)
    return max(1, min(limits))

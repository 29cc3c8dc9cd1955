"""Counts of a process's command queues, for the admin port: what waits, and what was done."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from runtime.histogram import SECONDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_log.append import Refused

_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200)


class _Queue(Protocol):
    @property
    def lengths(self) -> tuple[int, int]:
        """Return how many commands wait in the queue itself, and in its lanes."""


class CommandCounts:
    """Counts of all queues together: commands and seconds of each batch, and commands that had to be tried again."""

    def __init__(self) -> None:
        self.queues: set[_Queue] = set()
        self.batch_sizes = Histogram(_SIZES)
        self.batch_seconds = Histogram(SECONDS)
        self.refused: Counter[Refused] = Counter()
        self.failed_batches = 0

    @contextmanager
    def batch(self, commands: int) -> Iterator[None]:
        """Count a batch, which the block carries out."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self.failed_batches += 1
            raise
        finally:
            self.batch_sizes.observe(commands)
            self.batch_seconds.observe(time.perf_counter() - began)

    def waiting(self) -> dict[str, int]:
        """Return how many commands wait now, in queues and in lanes."""
        lengths = [queue.lengths for queue in self.queues]
        return {"queue": sum(queued for queued, _ in lengths), "lane": sum(in_lanes for _, in_lanes in lengths)}


COUNTS: Final = CommandCounts()
"""The counts of this process."""

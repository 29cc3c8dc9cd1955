"""Counts of a process's command queues, for the admin port: what waits, and what was done."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

from runtime.histogram import SECONDS, Histogram

if TYPE_CHECKING:
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

    def batch(self, commands: int) -> _Batch:
        """Count a batch, which the block carries out."""
        return _Batch(self, commands)

    def waiting(self) -> dict[str, int]:
        """Return how many commands wait now, in queues and in lanes."""
        lengths = [queue.lengths for queue in self.queues]
        return {"queue": sum(queued for queued, _ in lengths), "lane": sum(in_lanes for _, in_lanes in lengths)}


class _Batch:
    """A batch while it is carried out. A class, as it costs less than a generator."""

    __slots__ = ("_began", "_commands", "_counts")

    def __init__(self, counts: CommandCounts, commands: int) -> None:
        self._counts = counts
        self._commands = commands

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        counts = self._counts
        if kind is not None and issubclass(kind, Exception):
            counts.failed_batches += 1
        counts.batch_sizes.observe(self._commands)
        counts.batch_seconds.observe(time.perf_counter() - self._began)


COUNTS: Final = CommandCounts()
"""The counts of this process."""

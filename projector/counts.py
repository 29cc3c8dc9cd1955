"""Counts of what a projector has done, for the admin port."""

from __future__ import annotations

from typing import Final

from runtime.histogram import SECONDS, Histogram

_SIZES: Final = (1, 10, 30, 100, 300, 1000, 2000, 5000)


class ProjectionCounts:
    """Events and seconds of each batch that had events, and how often a user was parked."""

    def __init__(self) -> None:
        self.batch_events = Histogram(_SIZES)
        self.batch_seconds = Histogram(SECONDS)
        self.parkings = 0


COUNTS: Final = ProjectionCounts()
"""The counts of this process."""

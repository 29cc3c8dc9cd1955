"""Counts of the reads on a standby, for the admin port."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Final

from runtime.histogram import SECONDS, Histogram


class Outcome(Enum):
    """What became of a statement that may be answered by the standby."""

    STANDBY = "standby"
    """The standby answered it."""
    BEHIND = "behind"
    """The primary answered it: the standby did not have a write in time."""
    FAILED = "failed"
    """The primary answered it: the standby failed during the statement."""
    AWAY = "away"
    """The primary answered it: the standby could not be used."""


class StandbyCounts:
    """What became of statements, and how long those waited that the standby could not answer at once, in seconds."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.waits = Histogram(SECONDS)
        self.is_up: bool | None = None
        self.lag_seconds: float | None = None


COUNTS: Final = StandbyCounts()
"""The counts of this process; `is_up` is None if it has no standby, `lag_seconds` while the lag is not known."""

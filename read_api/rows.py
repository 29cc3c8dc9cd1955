"""Where a process reads users' tasks and events: on the primary, or on a standby that has every acknowledged write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from event_log.append import Fetching


class Rows(Protocol):
    """Gives the database that answers statements about some users; each answer holds every acknowledged write."""

    def of(self, users: Sequence[str]) -> Fetching:
        """Return the database for a statement that only shows what these users have."""


class PrimaryRows:
    """All reads on the primary."""

    def __init__(self, primary: Fetching) -> None:
        self._primary = primary

    def of(self, _users: Sequence[str]) -> Fetching:
        """Return the primary."""
        return self._primary

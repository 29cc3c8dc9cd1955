"""Counts and durations of the requests that a process has answered, for the admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.histogram import SECONDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping


class Answered(NamedTuple):
    """A kind of request: `route` is a template, or None if no route matched; `status` is None without an answer."""

    method: str
    route: str | None
    status: int | None


class RequestCounts:
    """The durations of requests in seconds, by method, route and status."""

    def __init__(self) -> None:
        self._durations: dict[tuple[str, str | None, int | None], Histogram] = {}

    def count(self, method: str, route: str | None, status: int | None, seconds: float) -> None:
        """Count a request; called once for each, so it must stay cheap."""
        kind = (method, route, status)
        durations = self._durations.get(kind)
        if durations is None:
            durations = self._durations[kind] = Histogram(SECONDS)
        durations.observe(seconds)

    def durations(self) -> Mapping[Answered, Histogram]:
        """Return the durations so far."""
        return {Answered(*kind): durations for kind, durations in self._durations.items()}


REQUESTS: Final = RequestCounts()
"""The requests of this process."""

"""Counts and durations of the requests that a process has answered, for the admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.histogram import SECONDS, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Answered(NamedTuple):
    """A kind of request: `route` is a template, or None if no route matched; `status` is None without an answer."""

    method: str
    route: str | None
    status: int | None


class RequestCounts:
    """The durations of requests in seconds, by method, route and status.

    `expected` are the methods and routes that this process answers. Their series are exported from the start, with 0:
    Prometheus sees no increase in a series that begins with the first burst.
    """

    def __init__(self) -> None:
        self.expected: set[tuple[str, str]] = set()
        self._durations: dict[tuple[str, str | None, int | None], Histogram] = {}

    def expect(self, methods: Iterable[str], route: str) -> None:
        """Note that this process answers a route."""
        self.expected.update((method, route) for method in methods)

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

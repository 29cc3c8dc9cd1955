"""What the figures should be: ratios to each peer and to the build before, and whether a run met them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from bench.measure import Figures

BEFORE: Final = "before"
"""The contender that is an earlier build of Tasklog."""
ALL: Final = "all"
"""In place of a work: the most of all works that were measured."""

_MEASURES: Final[Mapping[str, Callable[[Figures], float]]] = {
    "answers/s": lambda figures: figures.rate,
    "p95": lambda figures: figures.p95,
    "p99": lambda figures: figures.p99,
    "CPU": lambda figures: figures.cost,
    "WAL bytes": lambda figures: figures.wal,
    "API memory": lambda figures: figures.memory,
}


_WAYS: Final[Mapping[str, str]] = {
    "answers/s": "more API processes (API_WORKERS), as here one process is the limit; Python 3.14",
    "p95": "what brings more answers/s: with as many connections, each waits for the others",
    "p99": "what brings more answers/s: with as many connections, each waits for the others",
    "CPU": "Python 3.14, which takes a tenth off the API's part; one hash for a batch",
    "WAL bytes": "rows without equal times and empty members, 95 bytes, but lists would cost more; "
    "no row locks on heads and checkpoints, 108, once no service of release 1.0 takes them",
    "API memory": "fewer kept pages of lists; uvicorn without its command line, 3 MB",
}
"""What would bring a figure that misses its target nearer to it; docs/decisions/0007 has the measurements."""


class Target(NamedTuple):
    """A ratio of Tasklog's figure to another's: at least so much of answers a second, at most of all that costs."""

    work: str
    measure: str
    against: str
    bound: float

    @property
    def wanted(self) -> str:
        """The bound as it is shown."""
        return f"{'≥' if self._more_is_better else '≤'} {self.bound:g} ×"

    @property
    def _more_is_better(self) -> bool:
        return self.measure == "answers/s"

    def ratio(self, works: Mapping[str, Mapping[str, Figures]]) -> float | None:
        """Return what was measured; None if one of both was not."""
        chosen = list(works.values()) if self.work == ALL else [works.get(self.work, {})]
        both = [one for one in chosen if "tasklog" in one and self.against in one]
        ours, theirs = (
            max((_MEASURES[self.measure](figures[name]) for figures in both), default=0.0)
            for name in ("tasklog", self.against)
        )
        return ours / theirs if theirs else None

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return ratio >= self.bound if self._more_is_better else ratio <= self.bound


def _rates(work: str, **bounds: float) -> list[Target]:
    return [Target(work, "answers/s", against, bound) for against, bound in bounds.items()]


TARGETS: Final = (
    *_rates("post", fastify=1.0, asyncpg=2.5, crud=18, before=1.7),
    *_rates("post-one", fastify=1.0, asyncpg=2.8, crud=20, before=1.7),
    *_rates("patch", fastify=1.0, asyncpg=2.5, crud=20, before=1.7),
    *_rates("get", fastify=1.1, asyncpg=3.0, crud=20, before=1.9),
    *_rates("list", fastify=2.2, asyncpg=4.0, crud=20, before=1.6),
    *_rates("list-changing", fastify=1.2, asyncpg=2.5, crud=12, before=1.5),
    *_rates("put", crud=8),
    *_rates("toggle", crud=3),
    *_rates("list-304", crud=12),
    *_rates("long-changing", crud=9),
    *_rates("long", crud=60),
    Target("mixed", "p95", "crud", 0.2),
    Target("post", "p99", "fastify", 1.3),
    Target("post", "p99", "asyncpg", 1.0),
    Target("post", "p99", "crud", 1.0),
    Target("post", "p99", BEFORE, 0.5),
    Target("post", "CPU", BEFORE, 0.62),
    Target("post", "WAL bytes", BEFORE, 0.7),
    Target(ALL, "API memory", BEFORE, 1.0),
)


def judged(works: Mapping[str, Mapping[str, Figures]]) -> list[tuple[str, str, str, str, str, str, str]]:
    """Return a row for each target whose work was measured with both.

    It says what, against whom, wanted, measured, whether it is met and, if not, what would bring it nearer.
    """
    rows = []
    for target in TARGETS:
        if (ratio := target.ratio(works)) is not None:
            met, way = ("met", "") if target.is_met(ratio) else ("missed", _WAYS[target.measure])
            rows.append((target.work, target.measure, target.against, target.wanted, f"{ratio:.2f} ×", met, way))
    return rows

"""The report of a run: one row per scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.checker import Violation
from tests.chaos.history import Counts
from tests.chaos.judge import summary

_NOTHING = Counts(requests=0, acknowledged=0, unknown=0, refused=0)
_HEAD = ("scenario", "faults", "requests", "acknowledged", "unknown", "refused", "violations", "seconds")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One scenario's figures.

    `ends` names processes that ended by themselves and were restarted, `notes` holds further measurements, `memory` the
    services' memory.
    """

    scenario: str
    faults: int = 0
    counts: Counts = _NOTHING
    violations: list[Violation] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    memory: str = ""
    seconds: float = 0.0
    skipped: str | None = None

    def report(self) -> str:
        """Return what to print when the scenario is over."""
        if self.skipped is not None:
            return f"{self.scenario}: NOT RUN: {self.skipped}"
        lines = [f"{self.scenario}: {self.faults} faults, {len(self.violations)} violations, {self.seconds:.0f} s"]
        lines += [f"  {note}" for note in self.notes]
        if self.memory:
            lines.append(f"  memory: {self.memory}")
        if self.ends:
            lines.append(f"  ended by themselves and started again: {'; '.join(sorted(set(self.ends)))}")
        if self.violations:
            lines.append(summary(self.violations))
        return "\n".join(lines)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        if self.skipped is not None:
            return (self.scenario, f"not run: {self.skipped}", "", "", "", "", "", "")
        counts = (self.counts.requests, self.counts.acknowledged, self.counts.unknown, self.counts.refused)
        figures = (self.faults, *counts, len(self.violations), round(self.seconds))
        return (self.scenario, *(f"{figure:,}" for figure in figures))


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown, with a last row of sums."""
    ran = [row for row in rows if row.skipped is None]
    counts = Counts(
        requests=sum(row.counts.requests for row in ran),
        acknowledged=sum(row.counts.acknowledged for row in ran),
        unknown=sum(row.counts.unknown for row in ran),
        refused=sum(row.counts.refused for row in ran),
    )
    total = Row(
        scenario="all",
        faults=sum(row.faults for row in ran),
        counts=counts,
        violations=[violation for row in ran for violation in row.violations],
        seconds=sum(row.seconds for row in ran),
    )
    lines = [_HEAD, ("---", *("---:" for _ in _HEAD[1:])), *(row.cells() for row in [*rows, total])]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

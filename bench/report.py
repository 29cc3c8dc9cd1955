"""The report, for the terminal and for RESULTS.md."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.idle import Usage
from bench.measure import Figures, Rounds
from bench.works import Work
from bench.wrk import find_wrk

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
_HEAD: Final = (
    "work",
    "peer/s",
    "Tasklog/s",
    "ratio",
    "target",
    "peer p50 / p95 / p99 ms",
    "Tasklog p50 / p95 / p99 ms",
    "of FastAPI",
    "of ASGI",
)


_GROWTH: Final = "## Growth"
_CPU_HEAD: Final = ("work", "peer: API", "its Postgres", "Tasklog: API", "projector", "its Postgres", "ratio of all")


@dataclass(kw_only=True)
class Report:
    """The results of a run; each part may be missing."""

    facts: Sequence[str]
    limits: Mapping[str, Figures] = field(default_factory=dict)
    works: list[tuple[Work, Mapping[str, Figures]]] = field(default_factory=list)
    further: list[tuple[str, str, str]] = field(default_factory=list)
    idle: Sequence[Usage] = ()
    growth: list[tuple[str, float, float, float]] = field(default_factory=list)

    def text(self) -> str:
        """Return the whole report, in Markdown."""
        parts = ["# Results of `./run bench`", "", *(f"- {fact}" for fact in self.facts), ""]
        if self.works:
            parts += ["## Beside the plain CRUD", "", *_table(_HEAD, [self.row(*one) for one in self.works]), ""]
            parts += ["## CPU time an answer, in µs", "", *_table(_CPU_HEAD, [_cpu(*one) for one in self.works]), ""]
        if self.limits:
            parts += ["## Limits of this machine", "", *_table(("app", "answers/s"), self._limits()), ""]
        if self.further:
            parts += ["## The projector", "", *_table(("what", "measured", "target"), self.further), ""]
        if self.idle:
            parts += ["## `./run`, idle", "", *_table(("process", "% of a core", "MB resident"), self._idle()), ""]
        if self.growth:
            head = ("work", "empty ledger", "grown ledger", "empty : grown (target ≤ 1.3)")
            rows = [(name, _number(a), _number(b), f"{ratio:.2f}") for name, a, b, ratio in self.growth]
            what = "`./run bench growth`: an empty ledger against a million events of 100,000 users, without the peer."
            parts += [_GROWTH, "", what, "", f"- {self.facts[0]}", f"- {self.facts[3]}", "", *_table(head, rows), ""]
        return "\n".join(parts)

    def save(self) -> None:
        """Write RESULTS.md: either the part on growth, which has separate runs, or all other parts."""
        head, _, grown = self.text().partition(_GROWTH)
        old_head, _, old_grown = RESULTS.read_text().partition(_GROWTH)
        works, growth = head if self.works else old_head, grown or old_grown
        RESULTS.write_text(f"{works.rstrip()}\n\n{_GROWTH}{growth.rstrip()}\n")

    def row(self, work: Work, figures: Mapping[str, Figures]) -> tuple[str, ...]:
        """Return a work's row, of both contenders or of one."""
        ours, peers = figures.get("tasklog"), figures.get("peer")
        if ours is None or peers is None:
            one = ours or peers
            assert one is not None
            rates = ("", _number(one.rate)) if ours else (_number(one.rate), "")
            spread = ("", _latency(one)) if ours else (_latency(one), "")
            return work.title, *rates, "", "", *spread, *self._near(one.rate)
        ratio = peers.p95 / ours.p95 if work.name == "mixed" else ours.rate / peers.rate
        lost = f" (lost: {peers.lost} and {ours.lost})" if work.check == "toggled" else ""
        changes = f" ({peers.changes:.1f} and {ours.changes:.1f} changes a read)" if work.changes else ""
        return (
            work.title + lost + changes,
            _number(peers.rate),
            _number(ours.rate),
            f"{ratio:.1f} ×" + (" in p95" if work.name == "mixed" else ""),
            f"≥ {work.target:g} ×",
            _latency(peers),
            _latency(ours),
            *self._near(ours.rate),
        )

    def _near(self, rate: float) -> tuple[str, str]:
        framework, raw = self.limits.get("framework"), self.limits.get("raw")
        return (f"{rate / framework.rate:.0%}" if framework else "", f"{rate / raw.rate:.0%}" if raw else "")

    def _limits(self) -> list[tuple[str, str]]:
        names = {"raw": "raw ASGI on uvicorn", "framework": "FastAPI without work"}
        return [(names[name], _number(figures.rate)) for name, figures in self.limits.items()]

    def _idle(self) -> list[tuple[str, str, str]]:
        rows = [(usage.name, f"{usage.cpu:.2f}", f"{usage.memory:.0f}") for usage in self.idle]
        total = sum(usage.cpu for usage in self.idle)
        return [*rows, ("all (target ≤ 2; each Python process ≤ 120 MB)", f"{total:.2f}", "")]


def _cpu(work: Work, figures: Mapping[str, Figures]) -> tuple[str, ...]:
    """Return the machine's cost of an answer, without the load's own cost but with changes in the background."""
    peers, ours = (dict(figures[name].cpu) if name in figures else {} for name in ("peer", "tasklog"))
    ratio = sum(peers.values()) / sum(ours.values()) if peers and ours else None
    cells = [peers.get("api"), peers.get("postgres"), *(ours.get(name) for name in ("api", "projector", "postgres"))]
    return work.title, *("" if cell is None else f"{cell:,.0f}" for cell in cells), f"{ratio:.1f} ×" if ratio else ""


def facts(rounds: Rounds, postgres: Mapping[str, str]) -> list[str]:
    """Return what the figures depend on."""
    load = ", ".join(f"{number:.2f}" for number in os.getloadavg())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    wrk = subprocess.run([find_wrk(), "--version"], capture_output=True, text=True, check=False).stdout.split()[1]
    settings = ", ".join(f"{name} {value}" for name, value in postgres.items())
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; load before (1, 5, 15 min): {load}",
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}; Postgres: {settings}; wrk {wrk}",
        f"One API process each; the medians of {rounds.number} rounds of {rounds.seconds:g} s each, in turn.",
        "Every answer was 2xx (or 304), and every write that was acknowledged was found in the database.",
        "Writes wait for the disk; the projector's, which the ledger can give again, do not.",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _latency(figures: Figures) -> str:
    return " / ".join(f"{value:.1f}" for value in (figures.p50, figures.p95, figures.p99))


def plain(markdown: str) -> str:
    """Return the report for a terminal: its tables in columns."""
    blocks = re.split(r"((?:^\|.*\n?)+)", markdown, flags=re.MULTILINE)
    return "".join(_columns(block) if block.startswith("|") else block for block in blocks)


def _columns(table: str) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    rows = [row for row in rows if set(row) != {"---"}]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )

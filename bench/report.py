"""The report of a run: its tables, on the terminal and in RESULTS.md."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.bars import Row
from bench.console import Wait
from bench.find import Found
from bench.heavy import Beside
from bench.idle import Usage
from bench.measure import Figures, Rounds
from bench.setups import Setup
from bench.targets import judged
from bench.works import Work
from bench.wrk import find_wrk

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
WORKS_HEAD: Final = (
    *("work", "contender", "answers/s", "p50 / p95 / p99 ms"),
    *("CPU µs: API", "projector", "Postgres", "all", "WAL bytes", "API MB"),
)
_WORKS, _TARGETS, _LIMITS, _PROJECTOR, _IDLE, _GROWTH, _HEAVY, _LIVE, _FIND, _CONSOLE, _METRICS, _WORKERS = _TITLES = (
    "Each work",
    "Targets",
    "Limits of this machine",
    "The projector",
    "`./run`, idle",
    "Growth",
    "Light users beside heavy ones",
    "Listening for changes",
    "Filters and sorts",
    "The console",
    "Metrics and traces",
    "Workers",
)
_TARGETS_HEAD: Final = ("work", "figure", "against", "target", "measured", "", "what would bring it nearer")
_GROWTH_HEAD: Final = ("work", "empty ledger", "grown ledger", "empty : grown (target ≤ 1.3)")
_EXPLAINED: Final = (
    "CPU and WAL (the records that Postgres writes to its log, without whole pages) are for an answer, with all that "
    "it leads to and the changes in the background. API MB: the most memory that the API process had so far."
)
_GROWN: Final = (
    "`./run bench growth`: an empty ledger against one of a million events, or of `--events`: a tenth as many users "
    "with 9 events each, one user with a tenth of the events, one with 50,000 tasks. verify and rebuild are compared "
    "with a smaller ledger."
)
_LISTENING: Final = (
    "`./run bench live`: streams of changes, each of another user; then the same number of users who ask for the list "
    "once a second. The clients run on the same machine."
)
_FINDING: Final = (
    "`./run bench find`: CPU of the API's code and of Postgres for a list that is not cached, without HTTP; the last "
    "rows are pages of 20 of a user who has 50,000 tasks, and the time that they waited because other processes had "
    "the cores."
)
_WAITING: Final = (
    "`./run bench console`: a real Chromium beside all services on the same machine, measured by its own tracing; a "
    "first visit and a toggle are medians."
)
_MEASURING: Final = "`./run bench metrics`: the same build with its admin port off and on, and with traces."
_SHARING: Final = (
    "`./run bench workers`: one API process and two on the same port, in turn. On a machine with few cores the CPU "
    "time counts, not the answers/s, as clients, Postgres and workers share the cores."
)
_BESIDE: Final = (
    "`./run bench heavy`: 30 light users alone, and beside 4 clients that ask without a pause for what one heavy user "
    "has: 50,000 tasks; 300 tasks of 1 MB; a task of 3,000 edits. Targets: p99 at most 2 × as long as alone (what is "
    "faster than 20 ms counts as that) and at most 200 ms, and no light request refused."
)


@dataclass(kw_only=True)
class Report:
    """The results of a run; each part may be missing."""

    facts: Sequence[str]
    limits: Mapping[str, Figures] = field(default_factory=dict)
    works: list[tuple[Work, Mapping[str, Figures]]] = field(default_factory=list)
    further: list[tuple[str, str, str]] = field(default_factory=list)
    idle: Sequence[Usage] = ()
    growth: list[tuple[str, float, float, float]] = field(default_factory=list)
    heavy: list[Beside] = field(default_factory=list)
    live: Sequence[Row] = ()
    find: Sequence[Found] = ()
    console: Sequence[Wait] = ()
    metrics: Sequence[Setup] = ()
    workers: Sequence[Setup] = ()
    cores: Sequence[tuple[str, str]] = ()

    def text(self) -> str:
        """Return the whole report, in Markdown."""
        return _document(self._head(), dict(self._sections()))

    def save(self, path: Path = RESULTS) -> None:
        """Write RESULTS.md; sections that this run has not measured stay as they are."""
        head, sections = _split(path.read_text())
        sections |= dict(self._sections())
        path.write_text(_document(self._head() if self.works else head, sections))

    def _head(self) -> str:
        return "\n".join(["# Results of `./run bench`", "", *(f"- {fact}" for fact in self.facts)])

    def _sections(self) -> Iterator[tuple[str, str]]:
        """Yield each section that there is something for: its title and its text."""
        if self.works:
            yield _WORKS, _section(_EXPLAINED, _table(WORKS_HEAD, [row for one in self.works for row in rows(*one)]))
        if targets := judged({work.name: figures for work, figures in self.works}):
            yield _TARGETS, _section(_table(_TARGETS_HEAD, targets))
        if self.limits:
            yield _LIMITS, _section(_table(("app", "answers/s"), self._limits()))
        if self.further:
            yield _PROJECTOR, _section(_table(("what", "measured", "target"), self.further))
        if self.idle:
            yield _IDLE, _section(_table(("process", "% of a core", "MB resident"), self._idle()))
        yield from self._apart()

    def _apart(self) -> Iterator[tuple[str, str]]:
        """Yield the sections of what runs for itself, with the time and the packages of its own run."""
        dated = "\n".join(f"- {self.facts[n]}" for n in (0, 3))
        if self.growth:
            grown_rows = [(name, _number(a), _number(b), f"{ratio:.2f}") for name, a, b, ratio in self.growth]
            yield _GROWTH, _section(_GROWN, dated, _table(_GROWTH_HEAD, grown_rows))
        if self.heavy:
            yield _HEAVY, _section(_BESIDE, dated, _table(Beside.HEAD, [one.row() for one in self.heavy]))
        if self.live:
            yield _LIVE, _section(_LISTENING, dated, _table(("", "measured", "asked for", ""), self.live))
        if self.find:
            yield _FIND, _section(_FINDING, dated, _table(Found.HEAD, [one.row() for one in self.find]))
        if self.console:
            yield _CONSOLE, _section(_WAITING, dated, _table(Wait.HEAD, [one.row() for one in self.console]))
        if self.metrics:
            yield _METRICS, _section(_MEASURING, dated, _table(Setup.HEAD, [one.row() for one in self.metrics]))
        if self.workers:
            table = _table(Setup.HEAD, [one.row() for one in self.workers])
            yield _WORKERS, _section(_SHARING, dated, table, _table(("", "figure"), self.cores))

    def _limits(self) -> list[tuple[str, str]]:
        names = {"raw": "raw ASGI on uvicorn", "framework": "FastAPI without work"}
        return [(names[name], _number(figures.rate)) for name, figures in self.limits.items()]

    def _idle(self) -> list[tuple[str, str, str]]:
        rows = [(usage.name, f"{usage.cpu:.2f}", f"{usage.memory:.0f}") for usage in self.idle]
        total = sum(usage.cpu for usage in self.idle)
        return [*rows, ("all (target ≤ 2; each Python process ≤ 120 MB)", f"{total:.2f}", "")]


def rows(work: Work, figures: Mapping[str, Figures]) -> list[tuple[str, ...]]:
    """Return a work's rows, one a contender; the first names the work."""
    return [
        (work.title if first else "", *_row(work, name, one))
        for first, (name, one) in zip([True] + [False] * len(figures), figures.items(), strict=False)
    ]


def _row(work: Work, name: str, figures: Figures) -> Iterator[str]:
    yield name + _remark(work, figures)
    yield _number(figures.rate)
    yield " / ".join(f"{value:.1f}" for value in (figures.p50, figures.p95, figures.p99))
    for process in ("api", "projector", "postgres"):
        yield f"{figures.cpu[process]:,.0f}" if process in figures.cpu else ""
    yield f"{figures.cost:,.0f}"
    yield f"{figures.wal:,.0f}"
    yield f"{figures.memory:.0f}"


def _remark(work: Work, figures: Figures) -> str:
    if work.check == "toggled":
        return f" ({figures.lost} toggles lost)"
    return f" ({figures.changes:.1f} changes a read)" if work.changes else ""


def facts(rounds: Rounds, postgres: Mapping[str, str], before: str | None = None) -> list[str]:
    """Return what the figures depend on; `before` is the commit of an earlier build that was measured too."""
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
        "Postgres writes WAL files again, as a server does that has run for a while, and makes none during a round.",
        *([f"before: Tasklog as of commit {before}."] if before else []),
    ]


def _split(document: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the first section, and the text of each section by its title."""
    head, *sections = re.split(r"^## ", document, flags=re.MULTILINE)
    parts = (section.partition("\n") for section in sections)
    return head.strip(), {title.strip(): text.strip() for title, _, text in parts}


def _document(head: str, sections: Mapping[str, str]) -> str:
    """Return a report of the sections that it may have, in their order."""
    texts = [f"## {title}\n\n{sections[title]}" for title in _TITLES if title in sections]
    return "\n\n".join([head, *texts]) + "\n"


def _section(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


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

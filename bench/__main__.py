"""`./run bench`: measure Tasklog and a plain CRUD backend, print a table, and write it to RESULTS.md."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import asyncpg
import typer

from bench.contenders import start_peer, start_tasklog
from bench.growth import grow, growth
from bench.idle import idle
from bench.lab import Lab, running, servers
from bench.measure import Figures, Round, Rounds, measure
from bench.profile import profile
from bench.projection import backlog, delay
from bench.report import Report, facts, plain
from bench.works import WORKS, Work
from bench.wrk import Call, find_wrk, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contenders import Contender, Tasklog

_SETTINGS: Final = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
_FURTHER: Final = ("limits", "delay", "backlog", "idle")
_NAMES: Final = ", ".join([*(work.name for work in WORKS), *_FURTHER, "growth"])

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name="bench")
def main(
    works: Annotated[list[str] | None, typer.Argument(help=f"Of: {_NAMES}. Without: all but growth.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long a round takes.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds each contender has.")] = 3,
    *,
    alone: Annotated[bool, typer.Option(help="Measure Tasklog without the peer.")] = False,
    profiled: Annotated[bool, typer.Option("--profile", help="Show where Tasklog's time goes instead.")] = False,
) -> None:
    """Measure Tasklog beside a plain CRUD backend on the same Postgres. All, and growth, go to bench/RESULTS.md."""
    find_wrk()
    known = {work.name: work for work in WORKS}
    wanted = works or [*known, *_FURTHER]
    if unknown := set(wanted) - {*known, *_FURTHER, "growth"}:
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}: choose of {_NAMES}.")
    chosen = [known[name] for name in wanted if name in known]
    with tempfile.TemporaryDirectory(prefix="tasklog-bench-") as directory, servers(Path(directory)) as lab:
        if profiled:
            asyncio.run(_profile(lab, chosen, seconds))
            return
        report = asyncio.run(_Run(lab, set(wanted), Rounds(number=rounds, seconds=seconds), alone=alone).all(chosen))
    print(plain(report.text()))
    if wanted == ["growth"] or not (works or alone):
        report.save()


@dataclass(frozen=True, slots=True)
class _Run:
    """What to measure besides the works, and how."""

    lab: Lab
    wanted: set[str]
    rounds: Rounds
    alone: bool

    async def all(self, works: Sequence[Work]) -> Report:
        """Measure everything, and return the report."""
        report = Report(facts=facts(self.rounds, await _settings(self.lab)))
        async with running(self.lab):
            if "limits" in self.wanted:
                report.limits = await self._limits()
            if works or self.wanted & {"delay", "backlog", "growth"}:
                await self._tasklog(works, report)
        if "idle" in self.wanted:
            report.idle = await asyncio.to_thread(idle, self.lab.directory, 20)
        return report

    async def _tasklog(self, works: Sequence[Work], report: Report) -> None:
        tasklog = await start_tasklog(self.lab)
        if "growth" in self.wanted:
            grown = await grow(self.lab, await start_tasklog(self.lab, "grown"))
            report.growth = await growth(self.lab, works or WORKS, tasklog, grown, self.rounds)
        else:
            contenders: list[Contender] = [tasklog] if self.alone else [await start_peer(self.lab), tasklog]
            for work in works:
                report.works.append((work, await measure(self.lab, work, contenders, self.rounds)))
                print("  ".join(report.row(*report.works[-1])), flush=True)
        await self._projector(tasklog, report)
        if holes := await tasklog.ledger.holes():
            raise SystemExit(f"{holes} streams are not dense.")

    async def _limits(self) -> dict[str, Figures]:
        found = {}
        for name in ("raw", "framework"):
            quiet = ("--no-access-log", "--log-level=warning")
            url, process = await self.lab.serve(name, "uvicorn", f"bench.limits:{name}", "--port={port}", *quiet)
            calls = [Call("GET", f"/api/user/tasks/{n}", "user") for n in range(200)]
            seconds = self.rounds.seconds
            results = [await load(url, calls, connections=100, seconds=seconds) for _ in range(self.rounds.number)]
            process.terminate()
            found[name] = Figures.of([Round(measured=result) for result in results])
        return found

    async def _projector(self, tasklog: Tasklog, report: Report) -> None:
        seconds = self.rounds.seconds
        if "delay" in self.wanted:
            found = await delay(tasklog, rate=1000, seconds=max(5, seconds))
            what = f"write to projected, at {found.rate:,.0f} appends/s ({found.samples} samples)"
            measured = f"p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms"
            report.further.append((what, measured, "p50 ≤ 15 ms, p99 ≤ 100 ms"))
            report.further.append(("lists right after a write that lacked it", str(found.stale), "0"))
        if "backlog" in self.wanted:
            speed = await backlog(self.lab, tasklog, events=round(20_000 * seconds))
            report.further.append(("a backlog, one process", f"{speed:,.0f} events/s", "≥ 40,000 events/s"))


async def _settings(lab: Lab) -> dict[str, str]:
    """Return Postgres's settings; end the run if they are not durable."""
    connection = await asyncpg.connect(lab.postgres.url(database="postgres"))
    try:
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in _SETTINGS}
    finally:
        await connection.close()
    if found["fsync"] != "on" or found["synchronous_commit"] != "on":
        raise SystemExit("Postgres is not durable: so its figures would not count.")
    return found


async def _profile(lab: Lab, works: Sequence[Work], seconds: float) -> None:
    async with running(lab):
        tasklog = await start_tasklog(lab)
        for work in works:
            print(await profile(lab, tasklog, work, seconds))


if __name__ == "__main__":
    app(prog_name="./run bench")

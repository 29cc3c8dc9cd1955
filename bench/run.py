"""A run of the benchmark: starts what was chosen, measures it, and fills the report."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from bench.builds import THIS
from bench.console import console
from bench.contenders import start_tasklog
from bench.find import find
from bench.growth import growth
from bench.heavy import heavy
from bench.idle import idle
from bench.lab import Lab, running
from bench.live import live
from bench.measure import WARM_UP, Figures, Round, Rounds, measure, one_round
from bench.plain_table import start_peer
from bench.projection import backlog, delay
from bench.report import Report, facts, rows
from bench.setups import metrics, workers
from bench.targets import BEFORE
from bench.works import MIXED, WORKS, Work
from bench.wrk import Call, load

if TYPE_CHECKING:
    from bench.builds import Build
    from bench.contenders import Contender, Tasklog

_WARM_UP_SECONDS: Final = 2
_SETTINGS: Final = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What of a run is wanted: its works, what is measured further, who beside Tasklog, how often and how long.

    `events` is the size of the grown ledger.
    """

    works: Sequence[Work]
    further: set[str]
    peers: Sequence[str]
    before: Build | None
    rounds: Rounds
    events: int


async def run(lab: Lab, choice: Choice) -> Report:
    """Measure what was chosen."""
    before = choice.before.commit if choice.before else None
    report = Report(facts=facts(choice.rounds, await _settings(lab), before))
    async with running(lab):
        if "limits" in choice.further:
            report.limits = await _limits(lab, choice.rounds)
        if "live" in choice.further:
            report.live = await live(lab, await start_tasklog(lab, "live"))
        if "heavy" in choice.further:
            report.heavy = await heavy(await start_tasklog(lab, "heavy"), choice.rounds)
        if "metrics" in choice.further:
            report.metrics = await metrics(lab, choice.rounds)
        if "workers" in choice.further:
            report.workers, report.cores = await workers(lab, choice.rounds)
        if "find" in choice.further:
            report.find = await find(await start_tasklog(lab, "find"), choice.rounds)
        if "console" in choice.further:
            report.console = await console(await start_tasklog(lab, "console"))
        if choice.works or choice.further & {"delay", "backlog", "growth"}:
            await _tasklog(lab, choice, report)
    if "idle" in choice.further:
        report.idle = await asyncio.to_thread(idle, lab.directory, 20)
    return report


async def _tasklog(lab: Lab, choice: Choice, report: Report) -> None:
    tasklog = await start_tasklog(lab)
    if "growth" in choice.further:
        report.growth = await growth(lab, choice.works or WORKS, tasklog, choice.events, choice.rounds)
    else:
        contenders = [*await _others(lab, choice), tasklog] if choice.works else []
        for contender in contenders:  # a compiler at run time, and a cache, begin warm
            await one_round(lab, MIXED, contender, WARM_UP, _WARM_UP_SECONDS)
        for work in choice.works:
            report.works.append((work, await measure(lab, work, contenders, choice.rounds)))
            print("\n".join("  ".join(row) for row in rows(*report.works[-1])), flush=True)
    await _projector(lab, choice, tasklog, report)
    if holes := await tasklog.ledger.holes():
        raise SystemExit(f"{holes} streams are not dense.")


async def _others(lab: Lab, choice: Choice) -> list[Contender]:
    """Start whom Tasklog is measured beside, of those that this machine can run."""
    started = [await start_peer(lab, name) for name in choice.peers]
    others: list[Contender] = [peer for peer in started if peer is not None]
    if choice.before is not None:
        others.append(await start_tasklog(lab, BEFORE, choice.before))
    return others


async def _limits(lab: Lab, rounds: Rounds) -> dict[str, Figures]:
    found = {}
    for name in ("raw", "framework"):
        quiet = ("--no-access-log", "--log-level=warning")
        url, process = await lab.serve(name, THIS.module("uvicorn", f"bench.limits:{name}", "--port={port}", *quiet))
        calls = [Call("GET", f"/api/user/tasks/{n}", "user") for n in range(200)]
        results = [await load(url, calls, connections=100, seconds=rounds.seconds) for _ in range(rounds.number)]
        process.terminate()
        found[name] = Figures.of([Round(measured=result) for result in results])
    return found


async def _projector(lab: Lab, choice: Choice, tasklog: Tasklog, report: Report) -> None:
    seconds = choice.rounds.seconds
    if "delay" in choice.further:
        found = await delay(tasklog, rate=1000, seconds=max(5, seconds))
        what = f"write to projected, at {found.rate:,.0f} appends/s ({found.samples} samples)"
        measured = f"p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms"
        report.further.append((what, measured, "p50 ≤ 15 ms, p99 ≤ 100 ms"))
        report.further.append(("lists right after a write that lacked it", str(found.stale), "0"))
    if "backlog" in choice.further:
        speed = await backlog(lab, tasklog, events=round(20_000 * seconds))
        report.further.append(("a backlog, one process", f"{speed:,.0f} events/s", "≥ 40,000 events/s"))


async def _settings(lab: Lab) -> dict[str, str]:
    """Return Postgres' settings; the run ends if they are not durable."""
    connection = await asyncpg.connect(lab.postgres.url(database="postgres"))
    try:
        found = {name: str(await connection.fetchval(f"SHOW {name}")) for name in _SETTINGS}
    finally:
        await connection.close()
    if found["fsync"] != "on" or found["synchronous_commit"] != "on":
        raise SystemExit("Postgres is not durable: so its figures would not count.")
    return found

"""One checked round of one work with one contender; and rounds in turn."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx

from bench.processes import cpu_seconds_below, peak_memory, tree
from bench.wal import wal_bytes, wal_position
from bench.wrk import load, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench.contenders import Contender, Tasks
    from bench.lab import Lab
    from bench.works import Work
    from bench.wrk import Call, Measured


WARM_UP: Final = -1
"""The number of a round that is no part of what is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """How often each contender is measured, and for how long."""

    number: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What came of one round; `cpu`: microseconds an answer, of each process, which a busy machine changes little.

    `wal`: bytes of the records that Postgres logged an answer; `memory`: the most MB of the API process until then.
    """

    measured: Measured
    lost: int = 0
    changes: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    wal: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The medians of some rounds: answers a second, latencies in ms; CPU, log and background changes for each answer.

    `lost` are the toggles of all rounds; `memory` is the most of any, in MB.
    """

    rate: float
    p50: float
    p95: float
    p99: float
    lost: int
    changes: float
    cpu: dict[str, float]
    wal: float
    memory: float

    @property
    def cost(self) -> float:
        """CPU µs of all processes an answer."""
        return sum(self.cpu.values())

    @classmethod
    def of(cls, results: Sequence[Round]) -> Figures:
        """Return the medians of measured rounds and their lost toggles."""
        measured = [one.measured for one in results]
        return cls(
            rate=median(one.rate for one in measured),
            p50=median(one.p50 for one in measured),
            p95=median(one.p95 for one in measured),
            p99=median(one.p99 for one in measured),
            lost=sum(one.lost for one in results),
            changes=median(one.changes / one.measured.requests for one in results),
            cpu={name: median(one.cpu[name] for one in results) for name in results[0].cpu},
            wal=median(one.wal for one in results),
            memory=max(one.memory for one in results),
        )


async def measure(lab: Lab, work: Work, contenders: Sequence[Contender], rounds: Rounds) -> dict[str, Figures]:
    """Measure the contenders in turn, A B A B, and check each time what they stored."""
    seen: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for n in range(rounds.number):
        for contender in contenders:
            seen[contender.name].append(await one_round(lab, work, contender, n, rounds.seconds))
    return {name: Figures.of(results) for name, results in seen.items()}


async def one_round(lab: Lab, work: Work, contender: Contender, n: int, seconds: float) -> Round:
    """Create users and tasks, apply the load, and check the result."""
    users = [f"{work.name}-{n}-{number}" for number in range(work.users)]
    tasks = await contender.seed(users, work.tasks) if work.tasks else {user: [] for user in users}
    if work.check == "toggled":
        await contender.watch_toggles()
    calls = work.calls(tasks)
    if work.check == "unchanged":
        calls = await _with_etags(contender.url, calls)
    size = await _size(contender.url, calls[0]) if work.check == "listed" else 0
    if work.name in ("list", "long", "list-304"):  # fill a cache, if there is one
        await load(contender.url, calls, connections=work.connections, seconds=1)
    pace = await _pace(contender, work, tasks, calls) if work.changes else 0.0
    await lab.execute("CHECKPOINT")
    before, logged = _cpu(lab, contender), await wal_position(lab)
    async with _changing(contender, tasks, pace) as changed:
        result = await load(contender.url, calls, connections=work.connections, seconds=seconds)
    await contender.settle()
    cpu = {name: 1e6 * (spent - before[name]) / max(1, result.requests) for name, spent in _cpu(lab, contender).items()}
    return Round(
        measured=result,
        cpu=cpu,
        wal=await wal_bytes(lab, logged) / max(1, result.requests),
        memory=sum(map(peak_memory, tree(contender.processes()["api"]))),
        changes=len(changed) * len(tasks),
        lost=await _prove(work, contender, calls, result, size),
    )


def _cpu(lab: Lab, contender: Contender) -> dict[str, float]:
    """Return the CPU seconds of the contender's processes and of Postgres, so far."""
    assert lab.postgres.process is not None
    spent = {name: cpu_seconds_below(pid) for name, pid in contender.processes().items()}
    return spent | {"postgres": cpu_seconds_below(lab.postgres.process.pid)}


async def _prove(work: Work, contender: Contender, calls: Sequence[Call], result: Measured, size: int) -> int:
    """End the run if an answer was wrong; return the number of acknowledged toggles that were lost."""
    users = list({call.user: None for call in calls})
    if result.refused or result.broken or not result.requests:
        raise SystemExit(f"{work.title}, {contender.name}: {result.refused} refused and {result.broken} broken answers")
    if work.check in ("created", "changed", "mixed"):
        changed, mixed = work.check == "changed", work.check == "mixed"
        stored = await (contender.changes(users) if changed else contender.stored(users))
        written = _writes(work, calls, result.requests) + (0 if changed else work.tasks * work.users)
        if changed and not contender.keeps_history:
            written = min(written, len(calls))
        # A request that wrk cut at its end may have been carried out; in a mixture, in place of another one.
        if not written - mixed * work.connections <= stored <= written + work.connections:
            raise SystemExit(f"{work.title}, {contender.name}: {written} acknowledged, {stored} stored")
    if work.check == "listed" and result.size < 0.95 * size:
        raise SystemExit(f"{work.title}, {contender.name}: answers of {result.size:.0f} bytes, not {size}")
    if work.check == "unchanged" and contender.keeps_history and result.size > 600:
        raise SystemExit(f"{work.title}, {contender.name}: answers of {result.size:.0f} bytes are not 304")
    if work.check == "toggled":
        return max(0, result.requests - await contender.toggles(users))
    return 0


def _writes(work: Work, calls: Sequence[Call], requests: int) -> int:
    """Return how many of the first requests count: new tasks of a mixture, otherwise all."""
    if work.check != "mixed":
        return requests
    creations = [call.method == "POST" for call in calls]
    rounds, rest = divmod(requests, len(calls))
    return rounds * sum(creations) + sum(creations[:rest])


async def _pace(contender: Contender, work: Work, tasks: Tasks, calls: Sequence[Call]) -> float:
    """Return, by trial, the changes per second that give `work.changes` per answer, as both slow each other down."""
    pace = 0.0
    for _ in range(4):
        async with _changing(contender, tasks, pace):
            result = await load(contender.url, calls, connections=work.connections, seconds=1)
        pace = (pace + work.changes * result.rate) / 2
    return pace


async def _size(url: str, call: Call) -> int:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get(call.path, headers={"Authorization": f"Bearer {token(call.user)}"})
        return len(answer.raise_for_status().content)


async def _with_etags(url: str, calls: Sequence[Call]) -> list[Call]:
    """Return each request with the ETag of its answer; a contender without ETags gets plain requests."""
    tagged: list[Call] = []
    async with httpx.AsyncClient(base_url=url) as client:
        for call in calls:
            answer = await client.get(call.path, headers={"Authorization": f"Bearer {token(call.user)}"})
            tagged.append(call._replace(etag=answer.raise_for_status().headers.get("ETag", '"0"')))
    return tagged


@asynccontextmanager
async def _changing(contender: Contender, tasks: Tasks, rate: float) -> AsyncIterator[Sequence[int]]:
    """Change each user's tasks in turn, all users in one commit, `rate` tasks per second; yield the commits."""
    commits: list[int] = []
    if not rate:
        yield commits
        return
    stop = asyncio.Event()
    changing = asyncio.create_task(_change(contender, tasks, len(tasks) / rate, stop, commits))
    try:
        yield commits
    finally:
        stop.set()
        await changing


async def _change(contender: Contender, tasks: Tasks, pause: float, stop: asyncio.Event, commits: list[int]) -> None:
    clock = asyncio.get_running_loop()
    due = clock.time()
    while not stop.is_set():
        commits.append(len(commits) + 1)
        await contender.change(tasks, commits[-1])
        due += pause
        await asyncio.sleep(max(0, due - clock.time()))

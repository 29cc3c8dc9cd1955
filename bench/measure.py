"""One round of one work with one contender, proved; and rounds in turn."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import httpx

from bench.idle import cpu_seconds, cpu_seconds_below
from bench.wrk import load, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench.contenders import Contender, Tasks
    from bench.lab import Lab
    from bench.works import Work
    from bench.wrk import Call, Measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """How often each contender is measured, and for how long."""

    number: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What came of one round; `cpu`: microseconds an answer, of each process, which a busy machine changes little."""

    measured: Measured
    lost: int = 0
    cpu: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The medians of some rounds: answers a second, latencies in ms, CPU per answer; `lost` toggles of all rounds."""

    rate: float
    p50: float
    p95: float
    p99: float
    lost: int
    cpu: dict[str, float]
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, results: Sequence[Round]) -> Figures:
        """The medians of measured rounds and their lost toggles."""
        measured = [one.measured for one in results]
        return cls(
            rate=median(one.rate for one in measured),
            p50=median(one.p50 for one in measured),
            p95=median(one.p95 for one in measured),
            p99=median(one.p99 for one in measured),
            lost=sum(one.lost for one in results),
            cpu={name: median(one.cpu[name] for one in results) for name in results[0].cpu},
            rounds=tuple(one.rate for one in measured),
        )


async def measure(lab: Lab, work: Work, contenders: Sequence[Contender], rounds: Rounds) -> dict[str, Figures]:
    """Measure the contenders in turn, A B A B; what they stored is checked each time."""
    seen: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for n in range(rounds.number):
        for contender in contenders:
            seen[contender.name].append(await one_round(lab, work, contender, n, rounds.seconds))
    return {name: Figures.of(results) for name, results in seen.items()}


async def one_round(lab: Lab, work: Work, contender: Contender, n: int, seconds: float) -> Round:
    """Seed users, load, and prove."""
    users = [f"{work.name}-{n}-{number}" for number in range(work.users)]
    tasks = await contender.seed(users, work.tasks) if work.tasks else {user: [] for user in users}
    if work.check == "toggled":
        await contender.watch_changes()
    calls = work.calls(tasks)
    if work.check == "unchanged":
        calls = await _with_etags(contender.url, calls)
    size = await _size(contender.url, calls[0]) if work.check == "listed" else 0
    if work.name in ("list", "long", "list-304"):  # a cache, where there is one, is filled
        await load(contender.url, calls, connections=work.connections, seconds=1)
    await lab.execute("CHECKPOINT")
    before = _cpu(lab, contender)
    async with _changing(contender, tasks, work.changes):
        result = await load(contender.url, calls, connections=work.connections, seconds=seconds)
    await contender.settle()
    cpu = {name: 1e6 * (spent - before[name]) / max(1, result.requests) for name, spent in _cpu(lab, contender).items()}
    return Round(measured=result, cpu=cpu, lost=await _prove(work, contender, tasks, result, size))


def _cpu(lab: Lab, contender: Contender) -> dict[str, float]:
    """The CPU seconds of the contender's processes and of Postgres, so far."""
    assert lab.postgres.process is not None
    spent = {name: cpu_seconds(pid) for name, pid in contender.processes().items()}
    return spent | {"postgres": cpu_seconds_below(lab.postgres.process.pid)}


async def _prove(work: Work, contender: Contender, tasks: Tasks, result: Measured, size: int) -> int:
    """End the run if an answer was not what it must be; the number of toggles that were acknowledged and lost."""
    under_way = work.connections  # requests that wrk cut off at its end may have been carried out
    if result.refused or result.broken or not result.requests:
        raise SystemExit(f"{work.title}, {contender.name}: {result.refused} refused and {result.broken} broken answers")
    if work.check == "created":
        stored = await contender.stored(list(tasks))
        if not result.requests <= stored <= result.requests + under_way:
            raise SystemExit(f"{work.title}, {contender.name}: {result.requests} created, {stored} stored")
    if work.check == "listed" and result.size < 0.95 * size:
        raise SystemExit(f"{work.title}, {contender.name}: answers of {result.size:.0f} bytes, not {size}")
    if work.check == "unchanged" and contender.name != "peer" and result.size > 600:
        raise SystemExit(f"{work.title}, {contender.name}: answers of {result.size:.0f} bytes are not 304")
    if work.check == "toggled":
        ((user, (task,)),) = tasks.items()
        return max(0, result.requests - await contender.changes(user, task))
    return 0


async def _size(url: str, call: Call) -> int:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get(call.path, headers={"Authorization": f"Bearer {token(call.user)}"})
        return len(answer.raise_for_status().content)


async def _with_etags(url: str, calls: Sequence[Call]) -> list[Call]:
    """Each request with the entity tag of what it would get; a contender without them is asked all the same."""
    tagged: list[Call] = []
    async with httpx.AsyncClient(base_url=url) as client:
        for call in calls:
            answer = await client.get(call.path, headers={"Authorization": f"Bearer {token(call.user)}"})
            tagged.append(call._replace(etag=answer.raise_for_status().headers.get("ETag", '"0"')))
    return tagged


@asynccontextmanager
async def _changing(contender: Contender, tasks: Tasks, rate: int) -> AsyncIterator[None]:
    """Change each user's tasks in turn, all users in one commit, `rate` tasks a second."""
    if not rate:
        yield
        return
    stop = asyncio.Event()
    changing = asyncio.create_task(_change(contender, tasks, len(tasks) / rate, stop))
    try:
        yield
    finally:
        stop.set()
        await changing


async def _change(contender: Contender, tasks: Tasks, pause: float, stop: asyncio.Event) -> None:
    clock = asyncio.get_running_loop()
    due = clock.time()
    number = 0
    while not stop.is_set():
        number += 1
        await contender.change(tasks, number)
        due += pause
        await asyncio.sleep(max(0, due - clock.time()))

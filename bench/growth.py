"""Growth: the same works on an empty ledger and on a grown one, also for its heaviest users; then what reads all of it.

What reads all of a ledger, `verify` and `rebuild`, is compared per event with a small ledger of the same shape.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from audit.status import status
from audit.verify import verify
from bench.contenders import Tasklog, start_tasklog
from bench.grown import fill, people_of
from bench.measure import Rounds, measure
from bench.projection import backlog, delay
from bench.works import NEW, Work
from bench.wrk import Call
from projector.rebuild import rebuild, request_rebuild
from runtime.database import OPERATORS_SECONDS, open_database
from runtime.settings import Settings
from tasklog.embedded.child import end

if TYPE_CHECKING:
    from bench.contenders import Tasks
    from bench.lab import Lab

Row = tuple[str, float, float, float]
"""What was measured, on the empty and on the grown ledger, and their ratio: above 1 the grown one is slower."""

_SMALL: Final = 100_000
"""The most events of the ledger that verify and rebuild are compared with."""
_LOOKS: Final = 3
_HEAVY_TASKS: Final = 20


def _post(tasks: Tasks) -> list[Call]:
    return [Call("POST", f"/api/{user}/tasks", user, NEW) for user in tasks]


def _get(tasks: Tasks) -> list[Call]:
    return [Call("GET", f"/api/{user}/tasks/{task}", user) for user, owned in tasks.items() for task in owned]


def _toggle(tasks: Tasks) -> list[Call]:
    return [call._replace(method="PATCH", path=f"{call.path}/complete") for call in _get(tasks)]


def _page(tasks: Tasks) -> list[Call]:
    """Return writes, and after each a page, which no cache can have."""
    pages = [Call("GET", f"/api/{user}/tasks?limit=20&sort=title", user) for user in tasks]
    return [call for pair in zip(_post(tasks), pages, strict=True) for call in pair]


def _history(tasks: Tasks) -> list[Call]:
    return [Call("GET", f"/api/{user}/history?limit=20", user) for user in tasks]


_OF_HEAVY: Final = {
    "POST": _post,
    "GET one task": _get,
    "toggle": _toggle,
    "POST, page of 20": _page,
    "history": _history,
}
"""What the users with the most are asked for, beside a user with 20 tasks."""


@dataclass(kw_only=True)
class _OneUser(Tasklog):
    """A ledger of which only one user is asked for."""

    owned: Tasks

    async def seed(self, _users: Sequence[str], _tasks: int) -> Tasks:
        """Return the user's tasks, which are there already."""
        return self.owned


async def start_grown(lab: Lab, name: str, events: int) -> Tasklog:
    """Start Tasklog on a ledger of about so many events, all projected."""
    tasklog = await start_tasklog(lab, name)
    began = time.monotonic()
    written = await fill(tasklog.ledger.owner, people_of(events))
    made = time.monotonic()
    await tasklog.ledger.wake()
    await tasklog.settle(pause=1)
    seconds = time.monotonic() - made
    print(f"{name}: {written:,} events made in {made - began:.0f} s, projected {seconds:.0f} s later", flush=True)
    await tasklog.ledger.owner.execute("VACUUM ANALYZE", timeout=3600)
    await lab.execute("CHECKPOINT")
    return tasklog


async def growth(lab: Lab, works: Sequence[Work], empty: Tasklog, events: int, rounds: Rounds) -> list[Row]:
    """Return what was measured on the empty ledger and on one of so many events, in turn."""
    grown = await start_grown(lab, "grown", events)
    small = await start_grown(lab, "small", min(_SMALL, events // 10))
    rows: list[Row] = []
    for work in works:
        rows += await _compared(lab, work, empty, grown, rounds)
    for people in people_of(events)[1:]:
        ids = await _ids(grown, people.user(), _HEAVY_TASKS)
        mine = await empty.seed([f"beside-{people.name}"], _HEAVY_TASKS)
        beside, heavy = _one_user(empty, mine), _one_user(grown, {people.user(): ids})
        whose = f"a user of {people.events:,} events and {min(people.tasks, people.events):,} tasks"
        for name, calls in _OF_HEAVY.items():
            work = Work(name=name, title=f"{name}, {whose}", calls=calls, users=1, tasks=_HEAVY_TASKS, connections=20)
            rows += await _compared(lab, work, beside, heavy, rounds)
    rows += await _projection(lab, empty, grown, rounds)
    return rows + await _audits(lab, small, grown)


async def _compared(lab: Lab, work: Work, empty: Tasklog, grown: Tasklog, rounds: Rounds) -> list[Row]:
    """Return the rates of a work, whose target counts on a quiet machine, and its CPU time, which counts on any."""
    found = await measure(lab, work, [empty, grown], rounds)
    a, b = found[empty.name], found[grown.name]
    rows = [
        (f"{work.title}, answers/s", a.rate, b.rate, a.rate / b.rate),
        (f"{work.title}, CPU µs", a.cost, b.cost, b.cost / a.cost),
    ]
    print("\n".join(f"{name}: {one:,.0f}, {two:,.0f}, {ratio:.2f}" for name, one, two, ratio in rows), flush=True)
    return rows


async def _projection(lab: Lab, empty: Tasklog, grown: Tasklog, rounds: Rounds) -> list[Row]:
    before, after = [await delay(one, rate=1000, seconds=max(5, rounds.seconds)) for one in (empty, grown)]
    a, b = [await backlog(lab, one, events=round(20_000 * rounds.seconds)) for one in (empty, grown)]
    return [
        ("write to projected, p50 ms", before.p50, after.p50, after.p50 / before.p50),
        ("write to projected, p99 ms", before.p99, after.p99, after.p99 / before.p99),
        ("backlog, events/s", a, b, a / b),
    ]


async def _audits(lab: Lab, small: Tasklog, grown: Tasklog) -> list[Row]:
    """Return what reads all of a ledger, without a projector beside it; the run ends if there is a fault."""
    found: list[dict[str, float]] = []
    for tasklog in (small, grown):
        end(tasklog.projector, signal.SIGTERM, 10)
        found.append(await _audited(lab, tasklog))
    a, b = found
    rows = [(f"{name}, events/s", a[name], b[name], a[name] / b[name]) for name in ("verify", "rebuild")]
    return [*rows, ("status, ms (target ≤ 1,000)", a["status"], b["status"], b["status"] / a["status"])]


async def _audited(lab: Lab, tasklog: Tasklog) -> dict[str, float]:
    url = SecretStr(lab.postgres.url(database=f"ledger_{tasklog.name}"))
    settings = Settings(_env_file=None, database_url=url, allow_superuser=True)
    async with open_database(settings, "projector", seconds=OPERATORS_SECONDS) as database:
        looks = [await _seconds(lambda: status(database, None)) for _ in range(_LOOKS)]
        report, seconds = await _timed(lambda: verify(database))
        if report.faults:
            raise SystemExit(f"The ledger {tasklog.name} has a fault: {report.faults[0]}")
        await request_rebuild(database)
        return {
            "status": median(looks) * 1000,
            "verify": report.events / seconds,
            "rebuild": report.events / await _seconds(lambda: rebuild(database)),
        }


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    began = time.perf_counter()
    done = await work()
    return done, time.perf_counter() - began


async def _seconds(work: Callable[[], Awaitable[Any]]) -> float:
    return (await _timed(work))[1]


async def _ids(tasklog: Tasklog, user: str, number: int) -> list[int]:
    query = "SELECT id FROM tasklog.tasks WHERE user_id = $1 ORDER BY id LIMIT $2"
    return [row[0] for row in await tasklog.ledger.owner.fetch(query, user, number)]


def _one_user(tasklog: Tasklog, owned: Tasks) -> _OneUser:
    return _OneUser(**{field.name: getattr(tasklog, field.name) for field in fields(Tasklog)}, owned=owned)

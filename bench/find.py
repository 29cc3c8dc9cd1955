"""Lists with filters, words and sorts: what each costs beside the plain list, and how long one of many tasks takes.

A list is read as the API reads one that it has not cached: one statement, whose answer is merged. HTTP is left out: it
costs every list the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from starlette.datastructures import QueryParams

from bench.ledger import TITLE, batches, of
from bench.processes import scheduled
from domain.events import TaskCreated
from read_api.queries import TaskPage, TaskQuery, lists
from read_api.schemas import task_query
from runtime.database import Database, open_database
from runtime.settings import Settings

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.measure import Rounds

QUERIES: Final = (
    "",
    "search=ordinary",
    "search=title+errands",
    "search=nothing",
    "priority=high",
    "category=errands",
    "tags=home,food",
    "due_after=2026-06-01&due_before=2026-07-01",
    "status=pending&priority=low&tags=home&search=length&sort=due",
    "sort=due",
    "sort=priority",
    "sort=updated",
    "sort=title&order=desc&search=title",
)
"""The lists that are measured; the first is the plain one."""

_BATCH: Final = 400
_MANY: Final = 50_000
_PAGE: Final = 20
_FEWEST: Final = 31
_MOST_MS: Final = 100.0
_SIZES: Final[Mapping[int, tuple[int, float]]] = {20: (200, 1.3), 1_000: (10, 1.5)}
"""By the tasks of a user: how many users, and how many times the cost of the plain list any other may cost."""


class Cost(NamedTuple):
    """What a list takes, in seconds: altogether, on a core, and waiting while other processes have the cores."""

    seconds: float
    cpu: float
    waited: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a list of a user with `tasks` tasks costs, beside the `plain` one, or, without that, by itself."""

    HEAD: ClassVar = ("a user's tasks", "list", "measured", "of the plain list", "target", "")

    tasks: int
    query: str
    cost: Cost
    plain: Cost | None = None

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        name, cost = f"`{self.query}`" if self.query else "plain", self.cost
        if self.plain is None:
            free = cost.seconds - cost.waited
            shown = f"{1000 * cost.seconds:.0f} ms, of which {1000 * cost.waited:.0f} ms without a core"
            met = "met" if 1000 * free < _MOST_MS else "missed"
            return f"{self.tasks:,}", name, shown, "", f"< {_MOST_MS:.0f} ms with a core", met
        ratio, bound = cost.cpu / self.plain.cpu, _SIZES[self.tasks][1]
        target = (f"≤ {bound:g} ×", "met" if ratio <= bound else "missed") if self.query else ("", "")
        return f"{self.tasks:,}", name, f"{1e6 * cost.cpu:,.0f} µs of CPU", f"{ratio:.2f} ×", *target


async def find(tasklog: Tasklog, rounds: Rounds) -> list[Found]:
    """Fill the users' ledgers, then measure each list, in turn."""
    users = {size: [f"find-{size}-{n}" for n in range(number)] for size, (number, _) in _SIZES.items()}
    await _store(tasklog, [(user, n) for size, named in users.items() for user in named for n in range(size)])
    await _store(tasklog, [("find-many", n) for n in range(_MANY)])
    await tasklog.settle()
    await tasklog.ledger.owner.execute("VACUUM ANALYZE tasklog.tasks", timeout=600)
    settings = Settings(_env_file=None, database_url=tasklog.env["READ_DATABASE_URL"])
    async with open_database(settings, "reader") as database:
        found = []
        for size in _SIZES:
            costs = await _costs(database, QUERIES, users[size], rounds)
            found += [
                Found(tasks=size, query=query, cost=cost, plain=costs[0])
                for query, cost in zip(QUERIES, costs, strict=True)
            ]
        pages = [f"{query}&limit={_PAGE}" for query in QUERIES[1:]]
        many = await _costs(database, pages, ["find-many"], rounds)
        return found + [Found(tasks=_MANY, query=page, cost=cost) for page, cost in zip(pages, many, strict=True)]


async def _store(tasklog: Tasklog, numbers: Sequence[tuple[str, int]]) -> None:
    for part in batches(numbers, _BATCH):
        await tasklog.ledger.append([of(user, None, _task(n)) for user, n in part])
        await tasklog.ledger.wake()


def _task(n: int) -> TaskCreated:
    """Return a task: some of them have each field, in different mixtures."""
    return TaskCreated(
        title=f"{TITLE} {n * 7919 % 10_007}",
        description=None if n % 3 else "Bring it home, and do not forget the other one that was left there.",
        priority=("medium", "high", "low", "medium")[n % 4],
        due_date=f"2026-{1 + n % 12:02}-{1 + n % 28:02}" if n % 2 else None,
        tags=(("home", "food"), ("home",), (), ("work",), ())[n % 5],
        category=("Errands", None, "Work")[n % 3],
    )


async def _costs(database: Database, queries: Sequence[str], users: Sequence[str], rounds: Rounds) -> list[Cost]:
    """Read all lists of a user, then those of the next, for as long as the rounds take; return the medians."""
    asked, turn = [task_query(QueryParams(query)) for query in queries], cycle(users)
    seen: list[list[Cost]] = [[] for _ in asked]
    (row,) = await database.fetch("SELECT pg_backend_pid() AS pid")  # of the one connection that is in use
    began = time.perf_counter()
    while len(seen[0]) < _FEWEST or time.perf_counter() - began < rounds.number * rounds.seconds:
        user = next(turn)
        for query, costs in zip(asked, seen, strict=True):
            costs.append(await _cost(database, user, query, row["pid"]))
    return [Cost(*map(median, zip(*costs, strict=True))) for costs in seen]


async def _cost(database: Database, user: str, query: TaskQuery, backend: int) -> Cost:
    """Return what a list costs this process and Postgres' backend."""
    pids = os.getpid(), backend
    before, began = [scheduled(pid) for pid in pids], time.perf_counter()
    await _read(database, user, query)
    took = time.perf_counter() - began
    spent = [(ran - a, waited - b) for (ran, waited), (a, b) in zip(map(scheduled, pids), before, strict=True)]
    return Cost(took, *map(sum, zip(*spent, strict=True)))


async def _read(database: Database, user: str, query: TaskQuery) -> None:
    (page,) = await lists(database, [(user, query)])
    if not isinstance(page, TaskPage):
        raise SystemExit(f"A list of {user} could not be read in one statement: {page!r}")

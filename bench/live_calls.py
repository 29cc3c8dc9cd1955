"""Calls of front ends: changes after a long history beside a single task, and many commands beside as many POSTs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import orjson

from bench.bars import Row, at_least, at_most
from bench.processes import cpu_seconds, cpu_seconds_below
from bench.works import NEW
from bench.wrk import Call, load, token
from read_model.bookmark import bookmark_after_write

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.lab import Lab

_TASKS: Final = 10_000
_EDITS: Final = 9
_CHANGED: Final = 10
_COMMANDS: Final = 100
_ROUNDS: Final = 15
_CALLS: Final = 40
"""How often a single call is repeated in a round."""
_STEADY_USERS: Final = 200
_STEADY_CALLERS: Final = 10
_STEADY_SECONDS: Final = 4
_STEADY_ROUNDS: Final = 3
_CUT_SECONDS: Final = 0.5
"""How long the requests that wrk cuts at its end may still be carried out."""


class _Connection:
    """A connection that asks one thing after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, method: str, path: str, user: str, body: bytes = b"") -> bytes:
        """Return the body of the answer, which must be a success."""
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token(user)}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 20"):
            raise SystemExit(f"{method} {path} was refused: {answer[:100]!r}")
        return await self._reader.readexactly(int(answer.partition(b"content-length: ")[2].split(b"\r\n")[0]))


async def single_calls(lab: Lab, tasklog: Tasklog) -> Sequence[Row]:
    """Measure both, and return their rows."""
    return [*await _changes(lab, tasklog), *await _commands(lab, tasklog), await _steady_commands(lab, tasklog)]


async def _changes(lab: Lab, tasklog: Tasklog) -> Sequence[Row]:
    ledger, user = tasklog.ledger, "long-history"
    tasks = (await ledger.seed([user], _TASKS, _EDITS))[user]
    position, digest = await ledger.owner.fetchrow("SELECT head, hash FROM tasklog.streams WHERE user_id = $1", user)
    for number, task in enumerate(tasks[:: _TASKS // _CHANGED]):
        await ledger.change({user: task}, number)
    await tasklog.settle()
    await ledger.owner.execute("VACUUM ANALYZE tasklog.events, tasklog.tasks")
    (connection,) = await _connected(tasklog, 1)
    since = f"/api/{user}/changes?since={bookmark_after_write(position, digest.hex())}"
    if len(orjson.loads(await connection.ask("GET", since, user))["tasks"]) != _CHANGED:
        raise SystemExit("The changes are not those that were made.")

    async def get() -> None:
        for n in range(_CALLS):
            await connection.ask("GET", f"/api/{user}/tasks/{tasks[n]}", user)

    async def changes() -> None:
        for _ in range(_CALLS):
            await connection.ask("GET", since, user)

    of_get, of_changes = await _medians(lab, tasklog, get, changes)
    what = f"changes of {_CHANGED} among {_TASKS:,} tasks with {_TASKS * (_EDITS + 1):,} events, by the time of a GET"
    ratio = of_changes[0] / of_get[0]
    return [at_most(what, ratio, 2, _shown(ratio, of_changes, _CALLS))]


async def _commands(lab: Lab, tasklog: Tasklog) -> Sequence[Row]:
    connections, user = await _connected(tasklog, _COMMANDS), "commands"
    body = b'{"title":"A title of an ordinary length"}'
    calls = 0

    async def posts() -> None:
        await asyncio.gather(*(one.ask("POST", f"/api/{user}/tasks", user, body) for one in connections))

    async def call() -> None:
        nonlocal calls
        calls += 1
        data = orjson.loads(body)
        made = [{"id": f"{calls}-{n}", "type": "task.create", "data": data} for n in range(_COMMANDS)]
        await connections[0].ask("POST", f"/api/{user}/commands", user, orjson.dumps({"commands": made}))

    async def projected() -> None:
        head = "SELECT head FROM tasklog.streams WHERE user_id = $1"
        while await tasklog.ledger.position(user) < (await tasklog.ledger.owner.fetchval(head, user) or 0):
            await asyncio.sleep(0.02)

    what = f"{_COMMANDS} creates in a call, by the tasks/s of as many POSTs at once"
    of_posts, of_call = await _medians(lab, tasklog, posts, call, rest=projected)
    ratio = of_posts[0] / of_call[0]
    busy_posts, busy_call = await _medians(lab, tasklog, posts, call)
    busy = busy_posts[0] / busy_call[0]
    return [
        at_least(what, ratio, 4, _shown(ratio, of_call, _COMMANDS)),
        Row("the same, while the tasks of the call before are projected", _shown(busy, busy_call, _COMMANDS)),
    ]


async def _steady_commands(lab: Lab, tasklog: Tasklog) -> Row:
    """Compare the tasks/s of POSTs over 100 connections with those of calls over a few, each for seconds."""
    users = [f"steady-{n}" for n in range(_STEADY_USERS)]
    data = orjson.loads(NEW)
    made = [{"id": f"#########-{n}", "type": "task.create", "data": data} for n in range(_COMMANDS)]
    body = orjson.dumps({"commands": made}).decode()
    posts = [Call("POST", f"/api/{user}/tasks", user, NEW) for user in users]
    calls = [Call("POST", f"/api/{user}/commands", user, body) for user in users]
    found: dict[int, list[tuple[float, float]]] = {1: [], _COMMANDS: []}
    for _ in range(_STEADY_ROUNDS):
        for asked, connections, tasks in ((posts, _COMMANDS, 1), (calls, _STEADY_CALLERS, _COMMANDS)):
            spent, stored = _spent(lab, tasklog), await tasklog.stored(users)
            measured = await load(tasklog.url, asked, connections=connections, seconds=_STEADY_SECONDS)
            if measured.refused or measured.broken:
                raise SystemExit(f"{measured.refused} refused and {measured.broken} broken answers")
            await asyncio.sleep(_CUT_SECONDS)
            await tasklog.settle()
            new = await tasklog.stored(users) - stored
            if not 0 <= new - tasks * measured.requests <= tasks * connections:  # wrk cuts its last requests
                raise SystemExit(f"{tasks * measured.requests} tasks were acknowledged, {new} are stored")
            found[tasks].append((tasks * measured.rate, (_spent(lab, tasklog) - spent) / new))
    of_posts, of_calls = ([median(values) for values in zip(*rounds, strict=True)] for rounds in found.values())
    ratio = of_calls[0] / of_posts[0]
    calls_text, posts_text = (f"{rate:,.0f}/s, CPU {1e6 * cost:,.0f} µs" for rate, cost in (of_calls, of_posts))
    what = f"the same for seconds, {_STEADY_CALLERS} connections beside {_COMMANDS} with POSTs"
    return at_least(what, ratio, 4, f"{ratio:.2f} × ({calls_text}, beside {posts_text})")


def _spent(lab: Lab, tasklog: Tasklog) -> float:
    """Return the CPU seconds of Tasklog's processes and of Postgres, so far."""
    assert lab.postgres.process is not None
    return sum(map(cpu_seconds_below, (*tasklog.processes().values(), lab.postgres.process.pid)))


def _shown(ratio: float, costs: tuple[float, float], number: int) -> str:
    each = f"{1e6 * costs[0] / number:,.0f} µs, CPU {1e6 * costs[1] / number:,.0f} µs each"
    return f"{ratio:.2f} × ({each})"


async def _medians(
    lab: Lab, tasklog: Tasklog, *works: Callable[[], Awaitable[None]], rest: Callable[[], Awaitable[None]] | None = None
) -> list[tuple[float, float]]:
    """Do the works in turn; return for each the medians of its seconds, and of CPU seconds of API and Postgres.

    `rest` is waited for before each of them.
    """
    postgres = lab.postgres.process
    assert postgres is not None
    found: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for n, work in enumerate(works):
            if rest is not None:
                await rest()
            spent = cpu_seconds(tasklog.gateway.pid) + cpu_seconds_below(postgres.pid)
            began = time.perf_counter()
            await work()
            seconds = time.perf_counter() - began
            spent = cpu_seconds(tasklog.gateway.pid) + cpu_seconds_below(postgres.pid) - spent
            found[n].append((seconds, spent))
    return [(median(s for s, _ in one[1:]), sum(c for _, c in one[1:]) / (_ROUNDS - 1)) for one in found]


async def _connected(tasklog: Tasklog, number: int) -> list[_Connection]:
    where = urlsplit(tasklog.url)
    return [_Connection(*await asyncio.open_connection(where.hostname, where.port)) for _ in range(number)]

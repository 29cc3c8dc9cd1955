"""Heavy users beside light ones: much data, long histories, answers that nobody reads. Light users must not notice.

The heavy user's clients run in their own process, `python -m tests.chaos.heavy`, so that only the service is measured.
"""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final

import orjson

from domain.events import TaskCreated, TaskEdited
from event_log.append import Append
from runtime.database import open_database
from runtime.settings import Settings
from tests.chaos.checker import PLANTED
from tests.chaos.history import Operation
from tests.chaos.http_client import CutError, HttpConnection
from tests.chaos.load import User
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.world import World
from tests.ledger import appended
from tests.servers import eventually

SECONDS: Final = 0.2
"""The most that 99 of 100 requests of light users may take beside a heavy user, in seconds."""
TIMES: Final = 2.0
"""How many times as long as alone they may take; anything under 20 ms counts as 20 ms."""

_LEAST: Final = 0.02
_ASKING: Final = b"asking\n"
_MEGABYTE: Final = "All work and no play. " * 45_000
_EDITED, _BIG, _MANY = "heavy-edited", "heavy-big", "heavy-many"
_UNPROJECTED: Final = "SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL AND user_id LIKE 'heavy%'"


def weigh(world: World, _: random.Random, seconds: float, *, kinds: Sequence[str] = ()) -> None:
    """Measure the light users' requests beside each kind of heavy user, or some kinds, and alone before and after each.

    What else the machine does is then in both.
    """
    share = min(1.0, seconds / 60)
    each = max(1.5, seconds / 14)
    world.unread = frozenset({_EDITED, _BIG, _MANY})
    alone, beside = _measure(world, each), {}
    asyncio.run(_store(world.url, edits=int(100 * share), big=int(300 * share), many=int(30_000 * share)))
    eventually(lambda: world.execute(_UNPROJECTED) == [], timeout=120)
    for kind in kinds or KINDS:
        world.faults += 1
        command = ["nice", sys.executable, "-m", "tests.chaos.heavy", kind, str(world.load.ports[0])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as heavy:
            assert heavy.stdout is not None
            assert heavy.stdout.readline() == _ASKING
            world.pause(0.5)
            beside[kind] = _measure(world, each)
            heavy.kill()
        eventually(lambda: world.execute(_UNPROJECTED) == [], timeout=120)
        world.pause(0.5)
        alone += _measure(world, each / 2)
    world.notes.append(f"alone: {_shown(alone)}")
    for kind, operations in beside.items():
        world.notes.append(f"beside {kind}: {_shown(operations)}")
        _judge(world, kind, _p99(alone), operations)


def _judge(world: World, kind: str, alone: float, beside: Sequence[Operation]) -> None:
    slow = _p99(beside)
    if slow > SECONDS * world.patience or slow > TIMES * world.patience * max(alone, _LEAST * world.patience):
        world.complain("nobody waits for a heavy user", f"{kind}: p99 {slow:.3f} s, {alone:.3f} s alone")
    for one in beside:
        if one.is_unknown:
            world.complain("nobody is refused for a heavy user", f"{kind}: {one}")


def _measure(world: World, seconds: float) -> list[Operation]:
    """Return the light users' requests of some seconds, after all were answered or given up."""
    began = time.monotonic()
    world.pause(seconds)
    asked = [one for one in list(world.load.history) if one.invoked >= began]
    while any(one.returned == math.inf for one in asked):
        world.pause(0.05)
    return asked


def _p99(operations: Sequence[Operation]) -> float:
    return sorted(one.returned - one.invoked for one in operations)[int(len(operations) * 0.99)]


def _shown(operations: Sequence[Operation]) -> str:
    unknown = sum(one.is_unknown for one in operations)
    return f"{len(operations)} requests, 99 of 100 within {_p99(operations) * 1000:.0f} ms, {unknown} unanswered"


async def _store(url: str, *, edits: int, big: int, many: int) -> None:
    """Store a task with edits of 1 MB, a user with tasks of 1 MB, and one with very many tasks."""
    async with open_database(Settings(_env_file=None, database_url=url), "owner") as database:
        ((edited,),) = await appended(database, _creation(_EDITED, 0))
        task = edited.task_id
        for n in range(edits):
            text = f"{n} {_MEGABYTE}"
            await appended(database, _append(_EDITED, TaskEdited(description=text), task, n + 1))
        for first in range(0, big, 10):
            creations = [_creation(_BIG, n, _MEGABYTE) for n in range(first, min(big, first + 10))]
            await appended(database, *creations)
        for first in range(0, many, 500):
            await appended(database, *(_creation(_MANY, n) for n in range(first, min(many, first + 500))))


def _creation(user: str, n: int, description: str | None = None) -> Append:
    return _append(user, TaskCreated(title=f"{n}", description=description))


def _append(user: str, event: TaskCreated | TaskEdited, task: int | None = None, expected: int = 0) -> Append:
    return Append(
        user_id=user,
        task_id=task,
        expected_version=expected,
        events=(event,),
        actor=user,
        request_id=f"{PLANTED}{user}",
    )


async def _edit(port: int) -> None:
    """Toggle the task with the long history, edit it, and read it and its history, for ever."""
    connection, user = HttpConnection(port), User(name=_EDITED)
    tasks = f"/api/{_EDITED}/tasks"
    answer = await connection.request("GET", tasks, _headers(user), seconds=60)
    task = f"{tasks}/{orjson.loads(answer.body)[0]['id']}"
    while True:
        await _ask(connection, user, "PATCH", f"{task}/complete")
        await _ask(connection, user, "GET", f"{task}/history")
        await _ask(connection, user, "PUT", task, orjson.dumps({"description": f"{random.random()} {_MEGABYTE}"}))
        await _ask(connection, user, "GET", task)


async def _list(port: int, user: User, *paths: str) -> None:
    connection = HttpConnection(port)
    while True:
        for path in paths:
            await _ask(connection, user, "GET", f"/api/{user.name}/tasks{path}")


async def _read_nothing(port: int) -> None:
    """Request a list, and read nothing of the answer."""
    user = User(name=_BIG)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    head = f"GET /api/{_BIG}/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n\r\n"
    writer.write(head.encode())
    await asyncio.sleep(3600)


async def _ask(connection: HttpConnection, user: User, method: str, path: str, body: bytes = b"") -> None:
    """Send a request and accept any answer; wait a little after a refusal."""
    with suppress(CutError):
        answer = await connection.request(method, path, _headers(user), body, seconds=60)
        await asyncio.sleep(0.2 if answer.status >= 400 else 0)


def _headers(user: User) -> dict[str, str]:
    fixed = {"Content-Type": "application/json", "X-Request-ID": f"{PLANTED}{user.marker()}"}
    return {"Authorization": f"Bearer {user.token}", **fixed}


KINDS: Final[dict[str, Callable[[int], Iterable[Coroutine[None, None, None]]]]] = {
    "many-edits": lambda port: [_edit(port)],
    "big-tasks": lambda port: [_list(port, User(name=_BIG), "", "?limit=50", "?status=pending") for _ in range(2)],
    "many-tasks": lambda port: [_list(port, User(name=_MANY), "", "?sort=title", "?as_of=10") for _ in range(2)],
    "slow-readers": lambda port: [_read_nothing(port) for _ in range(20)],
}


async def _run(kind: str, port: int) -> None:
    clients = asyncio.gather(*KINDS[kind](port))
    await asyncio.sleep(0.1)
    sys.stdout.buffer.write(_ASKING)
    sys.stdout.buffer.flush()
    await clients


HEAVY: Final[dict[str, Scenario]] = {
    "heavy-users": Scenario(body=weigh, weight=3.5, options=Options(users=5, clients=2, direct=True)),
    # On a busy machine a commit may take over a second, and writes would be refused for that, not for a heavy user.
    "short-heavy-users": Scenario(
        body=weigh, weight=0, options=Options(users=5, clients=2, direct=True, planted="patient-queues")
    ),
}

if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2])))

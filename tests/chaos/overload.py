"""Overload: many times as many requests as the service can answer, from clients that hardly wait after a refusal.

The database is slowed down, so that the service's refusals are measured and not the speed of the clients.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import typer
import uvloop

from tests.chaos.history import Operation
from tests.chaos.http_client import CutError, HttpConnection
from tests.chaos.load import User
from tests.chaos.world import World

TIMES: Final = (5, 10)
GOODPUT: Final = 0.7
REFUSAL_SECONDS: Final = 0.2
_CAPACITY_CLIENTS: Final = 400
_DELAY: Final = 0.3
"""How long each statement to Postgres, and its answer, is delayed, in seconds."""
_TIMED_CLIENTS: Final = 40
_WARM_UP_SECONDS: Final = 5.0
"""How long the service is loaded before its capacity is measured: a new connection plans its statements first."""

_REFUSED: Final = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The result for a number of clients: answers per second, and the 99th percentile of refusals, in seconds."""

    goodput: float
    refused: int
    refusal_seconds: float


def overload(world: World, _rng: random.Random, seconds: float) -> None:
    """Measure the capacity with 400 clients, then overload it with 5 and 10 times as many clients and requests."""
    each = max(5.0, min(seconds / 4, 15))
    world.background.call(world.gateway_proxy.delay, _DELAY)
    _measure(world, "first", _CAPACITY_CLIENTS, _WARM_UP_SECONDS, 0.0)
    capacity = _measure(world, "at capacity", _CAPACITY_CLIENTS, each, 0.0)
    typer.echo(f"  overload: capacity {capacity.goodput:.0f}/s with {_CAPACITY_CLIENTS} clients")
    for times in TIMES:
        world.faults += 1
        # They return after a refusal so soon that all clients together send `times` times the capacity.
        pause = _CAPACITY_CLIENTS / max(1.0, capacity.goodput)
        rate = _measure(world, f"{times} times", times * _CAPACITY_CLIENTS, each, pause)
        share = rate.goodput / capacity.goodput
        refusals = f"{rate.refused} refusals in {rate.refusal_seconds:.3f} s"
        typer.echo(f"  overload: {times} times: goodput {share:.0%}, {refusals}")
        if share < GOODPUT:
            world.complain("overload costs little", f"{times} times: goodput {share:.0%} of {capacity.goodput:.0f}/s")
        if rate.refusal_seconds > REFUSAL_SECONDS:
            world.complain("a refusal is fast", f"{times} times overload: refusals take {rate.refusal_seconds:.3f} s")
    world.background.call(world.gateway_proxy.delay, 0.0)


def _measure(world: World, name: str, clients: int, seconds: float, pause: float) -> Rate:
    """Run the clients in two processes: a crowd, and a few whose refusals are timed, as the crowd's process is busy.

    The crowd would be on other machines: it gives way to the service.
    """
    with (
        _running(world, f"crowd {name}", clients - _TIMED_CLIENTS, seconds, pause, "nice") as crowd,
        _running(world, f"timed {name}", _TIMED_CLIENTS, seconds, pause) as timed,
    ):
        timed_ones, crowd_ones = _done(timed), _done(crowd)
    done = [*crowd_ones, *timed_ones]
    world.background.call(world.load.history.extend, done)
    end = min(one.invoked for one in done) + seconds
    refusals = sorted(one.returned - one.invoked for one in timed_ones if one.status in _REFUSED)
    return Rate(
        goodput=sum(one.is_acknowledged and one.returned <= end for one in done) / seconds,
        refused=sum(one.status in _REFUSED for one in done),
        refusal_seconds=refusals[int(len(refusals) * 0.99)] if refusals else 0.0,
    )


def _running(world: World, name: str, clients: int, seconds: float, pause: float, *how: str) -> subprocess.Popen[bytes]:
    arguments = [*map(str, world.load.ports), name, str(clients), str(seconds), str(pause)]
    return subprocess.Popen([*how, sys.executable, "-m", "tests.chaos.overload", *arguments], stdout=subprocess.PIPE)


def _done(clients: subprocess.Popen[bytes]) -> list[Operation]:
    """Wait until these clients end, and return what they did."""
    output, _ = clients.communicate(timeout=120)
    assert clients.returncode == 0, f"the clients ended with {clients.returncode}"
    done: list[Operation] = pickle.loads(output)
    return done


async def _drive(ports: Sequence[int], name: str, clients: int, seconds: float, pause: float) -> list[Operation]:
    users = [User(name=f"{name.replace(' ', '-')}-{n}") for n in range(50)]
    end = time.monotonic() + seconds
    runs = [_client(ports[n % len(ports)], users[n % len(users)], end, pause) for n in range(clients)]
    return [operation for run in await asyncio.gather(*runs) for operation in run]


async def _client(port: int, user: User, end: float, pause: float) -> list[Operation]:
    connection = HttpConnection(port)
    done = []
    await asyncio.sleep(random.uniform(0, max(1.0, pause)))
    while time.monotonic() < end:
        operation = Operation(user=user.name, kind="create", marker=user.marker())
        operation.body = {"title": operation.marker}
        done.append(operation)
        headers = {
            "Authorization": f"Bearer {user.token}",
            "Content-Type": "application/json",
            "X-Request-ID": operation.marker,
        }
        operation.invoked = time.monotonic()
        try:
            answer = await connection.request("POST", f"/api/{user.name}/tasks", headers, orjson.dumps(operation.body))
            operation.status, operation.headers, operation.answer = answer
        except CutError:
            pass
        operation.returned = time.monotonic()
        if operation.status in _REFUSED:
            await asyncio.sleep(pause)
    connection.close()
    return done


if __name__ == "__main__":
    *ports_, name_, clients_, seconds_, pause_ = sys.argv[1:]
    work = _drive([int(port) for port in ports_], name_, int(clients_), float(seconds_), float(pause_))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(pickle.dumps(runner.run(work)))

"""Overload: many times as many requests as the service can answer, from clients that do not wait when refused.

The database is slowed down, so that what is measured is how the service refuses and not how fast the clients are.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Final

import orjson
import typer

from tests.chaos.history import Operation
from tests.chaos.http_client import CutError, HttpConnection
from tests.chaos.load import Load, User
from tests.chaos.world import World

TIMES: Final = (5, 10)
GOODPUT: Final = 0.7
REFUSAL_SECONDS: Final = 0.2
_CAPACITY_CLIENTS: Final = 400
_DELAY: Final = 0.3
"""Seconds that each statement takes on its way to Postgres, and its answer on the way back."""

_REFUSED: Final = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What came of so many clients at once: answers a second, and how long refusals took (the 99th percentile)."""

    clients: int
    goodput: float
    refused: int
    refusal_seconds: float


def overload(world: World, _rng: random.Random, seconds: float) -> None:
    """Capacity by 400 clients, then 5 and 10 times as many, who ask 5 and 10 times as often as it can answer."""
    each = max(5.0, min(seconds / 4, 15))
    world.background.call(world.gateway_proxy.delay, _DELAY)
    capacity = _measure(world, _CAPACITY_CLIENTS, each, 0.0)
    typer.echo(f"  overload: capacity {capacity.goodput:.0f}/s with {capacity.clients} clients")
    for times in TIMES:
        world.faults += 1
        # Each comes back so soon after a refusal that all together ask `times` times the capacity.
        rate = _measure(world, times * _CAPACITY_CLIENTS, each, _CAPACITY_CLIENTS / max(1.0, capacity.goodput))
        share = rate.goodput / capacity.goodput
        refusals = f"{rate.refused} refusals in {rate.refusal_seconds:.3f} s"
        typer.echo(f"  overload: {times} times: goodput {share:.0%}, {refusals}")
        if share < GOODPUT:
            world.complaints.append(f"{times} times overload: goodput {share:.0%} of {capacity.goodput:.0f}/s")
        if rate.refusal_seconds > REFUSAL_SECONDS:
            world.complaints.append(f"{times} times overload: refusals take {rate.refusal_seconds:.3f} s")
    world.background.call(world.gateway_proxy.delay, 0.0)


def _measure(world: World, clients: int, seconds: float, pause: float) -> Rate:
    return world.background.run(_drive(world.load, clients, seconds, pause), seconds + 60)


async def _drive(load: Load, clients: int, seconds: float, pause: float) -> Rate:
    users = [User(name=f"crowd{clients}x{n}") for n in range(min(clients, 50))]
    end = time.monotonic() + seconds
    runs = [_client(load.ports[n % len(load.ports)], users[n % len(users)], end, pause) for n in range(clients)]
    done = [operation for run in await asyncio.gather(*runs) for operation in run]
    load.history += done
    good = sum(operation.is_acknowledged for operation in done)
    refusals = sorted(one.returned - one.invoked for one in done if one.status in _REFUSED)
    return Rate(
        clients=clients,
        goodput=good / seconds,
        refused=len(refusals),
        refusal_seconds=refusals[int(len(refusals) * 0.99)] if refusals else 0.0,
    )


async def _client(port: int, user: User, end: float, pause: float) -> list[Operation]:
    connection = HttpConnection(port)
    done = []
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

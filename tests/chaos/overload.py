"""Overload: many times as many requests at once as the service can answer in time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import typer

from tests.chaos.history import Operation
from tests.chaos.http_client import CutError, HttpConnection
from tests.chaos.load import User
from tests.chaos.world import World

TIMES: Final = (5, 10)
GOODPUT: Final = 0.7
REFUSAL_SECONDS: Final = 0.2
_CAPACITY_CLIENTS: Final = 64
_REFUSED: Final = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What came of so many clients at once: answers a second, and how long refusals took (the 99th percentile)."""

    clients: int
    goodput: float
    refused: int
    refusal_seconds: float


def overload(world: World, _rng: random.Random, seconds: float) -> None:
    """Capacity by 64 clients, then five and ten times as many, who come back at once when they are refused."""
    each = max(3.0, min(seconds / 4, 10))
    capacity = _measure(world, _CAPACITY_CLIENTS, each)
    typer.echo(f"  overload: capacity {capacity.goodput:.0f}/s with {capacity.clients} clients")
    for times in TIMES:
        world.faults += 1
        rate = _measure(world, times * _CAPACITY_CLIENTS, each)
        share = rate.goodput / capacity.goodput
        refusals = f"{rate.refused} refusals in {rate.refusal_seconds:.3f} s"
        typer.echo(f"  overload: {times} times: goodput {share:.0%}, {refusals}")
        if share < GOODPUT:
            world.complaints.append(f"{times} times overload: goodput {share:.0%} of {capacity.goodput:.0f}/s")
        if rate.refusal_seconds > REFUSAL_SECONDS:
            world.complaints.append(f"{times} times overload: refusals take {rate.refusal_seconds:.3f} s")


def _measure(world: World, clients: int, seconds: float) -> Rate:
    return world.background.run(_drive(world.load.ports, world.load.history, clients, seconds), seconds + 60)


async def _drive(ports: Sequence[int], history: list[Operation], clients: int, seconds: float) -> Rate:
    users = [User(name=f"crowd{clients}x{n}") for n in range(min(clients, 50))]
    end = time.monotonic() + seconds
    runs = [_client(ports[n % len(ports)], users[n % len(users)], end) for n in range(clients)]
    done = [operation for run in await asyncio.gather(*runs) for operation in run]
    history += done
    good = sum(operation.is_acknowledged for operation in done)
    refusals = sorted(one.returned - one.invoked for one in done if one.status in _REFUSED)
    return Rate(
        clients=clients,
        goodput=good / seconds,
        refused=len(refusals),
        refusal_seconds=refusals[int(len(refusals) * 0.99)] if refusals else 0.0,
    )


async def _client(port: int, user: User, end: float) -> list[Operation]:
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
    connection.close()
    return done

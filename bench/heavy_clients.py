"""The clients of `bench.heavy`, a process of their own: `python -m bench.heavy_clients KIND PORT [SECONDS]`.

It prints a line when it begins, and at the end what came of it, as JSON. Heavy clients go on until they are terminated.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Final, NamedTuple

from bench.wrk import token
from tests.chaos.http_client import CutError, HttpConnection

_LIGHT_USERS: Final = 30
_HEAVY_CLIENTS: Final = 4
_PAUSE_SECONDS: Final = (0.1, 0.3)
_PATIENCE_SECONDS: Final = 60
_BACK_OFF_SECONDS: Final = 0.2
_TEXT: Final = "Heavy work. " * 80_000


class _Request(NamedTuple):
    method: str
    path: str
    body: bytes = b""


class _User:
    """A connection of one user; an answer that never came counts as the status `cut`."""

    def __init__(self, port: int, name: str) -> None:
        self.tasks = f"/api/{name}/tasks"
        self._connection = HttpConnection(port)
        self._headers = {"Authorization": f"Bearer {token(name)}", "Content-Type": "application/json"}

    async def ask(self, request: _Request) -> tuple[str, bytes]:
        try:
            answer = await self._connection.request(
                request.method, request.path, self._headers, request.body, seconds=_PATIENCE_SECONDS
            )
        except CutError:
            return "cut", b""
        return str(answer.status), answer.body


async def _be_light(port: int, name: str, end: float, latencies: list[float], refused: Counter[str]) -> None:
    """Add a task, list, toggle it and read it, with a pause before each."""
    user, path = _User(port, name), ""
    while time.monotonic() < end:
        requests = [_Request("POST", user.tasks, b'{"title":"Light"}'), _Request("GET", f"{user.tasks}?limit=20")]
        if path:
            requests += [_Request("PATCH", f"{path}/complete"), _Request("GET", path)]
        for request in requests:
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
            began = time.perf_counter()
            status, body = await user.ask(request)
            latencies.append(1000 * (time.perf_counter() - began))
            if not status.startswith("2"):
                refused[status] += 1
            elif request.method == "POST":
                path = f"{user.tasks}/{json.loads(body)['id']}"


async def _be_heavy(port: int, name: str, number: int, answers: Counter[str]) -> None:
    """Edit, toggle, read and list, one after the other without a pause, for ever."""
    user = _User(port, name)
    _, body = await user.ask(_Request("GET", f"{user.tasks}?limit=1"))
    path = f"{user.tasks}/{json.loads(body)[0]['id']}"
    requests = _heavy_requests(user.tasks, path, name, number)
    while True:
        for request in requests:
            status, _ = await user.ask(request)
            answers[f"{request.method} {status}"] += 1
            if not status.startswith("2"):
                await asyncio.sleep(_BACK_OFF_SECONDS)


def _heavy_requests(tasks: str, path: str, name: str, number: int) -> list[_Request]:
    description = "" if name == "many" else _TEXT
    body = json.dumps({"title": "Heavy", "description": description}).encode()
    requests = [_Request("PUT", path, body), _Request("PATCH", f"{path}/complete"), _Request("GET", path)]
    if name == "edited":
        return [*requests, _Request("GET", f"{path}/history"), _Request("GET", f"{tasks}?as_of={500 + number}")]
    return [*requests, _Request("POST", tasks, body), _Request("GET", tasks + ("?sort=title" if number % 2 else ""))]


async def _light(port: int, seconds: float) -> dict[str, object]:
    latencies: list[float] = []
    refused: Counter[str] = Counter()
    end = time.monotonic() + seconds
    await asyncio.gather(*(_be_light(port, f"light-{n}", end, latencies, refused) for n in range(_LIGHT_USERS)))
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
    return {"requests": len(latencies), "p50": p50, "p99": p99, "refused": refused}


async def _heavy(port: int, kind: str) -> Counter[str]:
    answers: Counter[str] = Counter()
    names = ("many", "big", "edited") if kind == "all" else (kind,)
    clients = asyncio.gather(*(_be_heavy(port, name, n, answers) for name in names for n in range(_HEAVY_CLIENTS)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, clients.cancel)
    with suppress(asyncio.CancelledError):
        await clients
    return answers


def main(kind: str, port: str, seconds: str = "0") -> None:
    """Be the clients of a kind."""
    print("asking", flush=True)
    clients = _light(int(port), float(seconds)) if kind == "light" else _heavy(int(port), kind)
    print(json.dumps(asyncio.run(clients)))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Lists of long texts: each arrives completely, the gateway stays small, and nobody else waits.

Seen to fail: some lists were 503, because statements took too long; with 40 clients at once the gateway took 2,600 MB.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.large import create_long_tasks, peak_of
from tests.servers import RunningService, assert_takes_less, eventually, token

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MOST = 250
"""The limit in MB; an idle gateway takes about 90 MB."""
LONG = 16
"""Megabytes of a list, and its number of tasks."""


def projected(service: RunningService) -> None:
    eventually(lambda: not service.database.execute("SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL"))


@contextmanager
def takers_of_nothing(service: RunningService, path: str, user: str, number: int) -> Iterator[None]:
    """Run clients that send requests, but do not read the answers."""
    address = urlsplit(service.url)
    with ExitStack() as stack:
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((address.hostname, address.port))
            asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token(user)}\r\n\r\n"
            connection.sendall(asked.encode())
        yield


def slowest_request(service: RunningService, user: str, rounds: int) -> float:
    """Return the seconds of the slowest request of a light user; all requests must succeed."""
    client, slowest = service.client(user), 0.0
    path = f"/api/{user}/tasks"
    for n in range(rounds):
        for method, url, body in (("POST", path, {"title": f"Task {n}"}), ("GET", path, None)):
            began = time.monotonic()
            answer = client.request(method, url, json=body)
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status_code in {200, 201}, answer.text
    return slowest


@pytest.mark.alone
def test_long_lists_take_little_memory_and_hinder_nobody(service: RunningService) -> None:
    for user in ("heavy", "idle"):
        create_long_tasks(service.database, user, LONG)
    projected(service)
    slowest_request(service, "light", 5)

    def whole(parameters: str) -> int:
        answer = service.client("heavy").get(f"/api/heavy/tasks?{parameters}")
        assert answer.status_code == 200, answer.text
        assert {len(task["description"]) for task in answer.json()} == {1_000_000}
        return len(answer.json())

    def slowest_beside_lists() -> float:
        with ThreadPoolExecutor(8) as threads, takers_of_nothing(service, "/api/idle/tasks", "idle", 30):
            asked = ["", "sort=title", "status=pending", f"as_of={LONG}", "limit=10"]
            lists = threads.map(whole, asked)
            light = threads.submit(slowest_request, service, "light", 20)
            assert list(lists) == [LONG, LONG, LONG, LONG, 10]
            return light.result()

    assert_takes_less(1, slowest_beside_lists)
    assert service.gateway.process is not None
    assert peak_of(service.gateway.process.pid) < MOST

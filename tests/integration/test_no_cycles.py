"""Requests and projection leave nothing that only the garbage collector can free: its passes hold up everything else.

Seen to fail: with the request's own method as Starlette's `receive`, so that each request referred to itself; and with
the traceback of a refused command, which held its batch.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domain.events import TaskCompleted
from projector.catch_up import catch_up
from runtime.database import Database
from runtime.settings import Settings
from tasklog.serving.gateway import open_gateway
from tasklog.serving.protocol import Protocol
from tests.integration.raw_http import Client, connected
from tests.ledger import appended, created, of
from tests.servers import token

ROUNDS = 5
ATTEMPTS = 3
"""Something else in this process may leave something once; what a request leaves, it leaves each time."""
TITLE = {"title": "Buy milk"}
NEW = {"id": "a", "type": "task.create", "data": TITLE}
ASKED = {
    "a list": ("GET", "tasks", None, 200),
    "a filtered list": ("GET", "tasks?search=milk&sort=title", None, 200),
    "one task": ("GET", "tasks/{task}", None, 200),
    "a task that is not there": ("GET", "tasks/999999", None, 404),
    "a new task": ("POST", "tasks", TITLE, 201),
    "a task without a title": ("POST", "tasks", {}, 422),
    "an edit": ("PUT", "tasks/{task}", TITLE, 200),
    "a toggle": ("PATCH", "tasks/{task}/complete", None, 200),
    "a toggle of a task that is not there": ("PATCH", "tasks/999999/complete", None, 404),
    "a deletion of a task that is not there": ("DELETE", "tasks/999999", None, 404),
    "an undo that cannot be done": ("POST", "undo", {"position": 999999}, 404),
    "many commands": ("POST", "commands", {"commands": [NEW, NEW | {"id": "b", "type": "task.fly"}]}, 200),
    "changes": ("GET", "changes", None, 200),
    "the history": ("GET", "events", None, 200),
    "the trash": ("GET", "trash", None, 200),
    "numbers": ("GET", "stats", None, 200),
    "another's tasks": ("GET", "/api/somebody/tasks", None, 403),
    "no such path": ("GET", "/nothing", None, 404),
    "a method that is not allowed": ("PUT", "/health", None, 405),
}


async def answered(client: Client, user: str, method: str, path: str, body: object) -> tuple[int, bytes]:
    """Send a request of a user; return the status and the body of its answer."""
    sent = b"" if body is None else json.dumps(body).encode()
    path = path if path.startswith("/") else f"/api/{user}/{path}"
    head = f"{method} {path} HTTP/1.1\r\nHost: tasklog\r\nAuthorization: Bearer {token(user)}\r\n"
    await client.send(f"{head}Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
    said, _, rest = (await client.head()).partition(b"\r\n\r\n")
    return int(said.split()[1]), rest


@contextmanager
def collected() -> Iterator[Counter[str]]:
    """Count what only the collector can free of what the block leaves, by type."""
    found: Counter[str] = Counter()
    while gc.collect():  # what earlier tests left may leave something itself
        pass
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("what", ASKED)
async def test_a_request_leaves_nothing_for_the_collector(settings: Settings, user: str, what: str) -> None:
    method, path, body, status = ASKED[what]
    async with open_gateway(settings) as app, connected(Protocol, app) as client:
        made, task = await answered(client, user, "POST", "tasks", TITLE)
        assert made == 201
        path = path.format(task=json.loads(task)["id"])
        await answered(client, user, method, path, body)  # the first one may fill caches
        for _ in range(ATTEMPTS):
            with collected() as found:
                for _ in range(ROUNDS):
                    assert (await answered(client, user, method, path, body))[0] == status
            if not found:
                break
        assert found == {}


async def test_projection_leaves_nothing_for_the_collector(writer: Database, projector: Database, user: str) -> None:
    async def projected() -> None:
        task = await created(writer, user)
        await appended(writer, of(user, TaskCompleted(), task=task, expected=1))
        assert await catch_up(projector) == 2

    await projected()
    for _ in range(ATTEMPTS):
        with collected() as found:
            for _ in range(ROUNDS):
                await projected()
        if not found:
            break
    assert found == {}

"""A user of the shared service, with a client and the user's own paths; or a separate `./run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.all_in_one import StartRun, started_runs
from tests.e2e.shell import Shell
from tests.servers import RunningService, eventually


@pytest.fixture
def client(shared_service: RunningService, user: str) -> httpx.Client:
    return shared_service.client(user)


@pytest.fixture
def base(user: str) -> str:
    return f"/api/{user}"


@pytest.fixture
def tasks(user: str) -> str:
    return f"/api/{user}/tasks"


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[StartRun]:
    """Yield a function that starts `./run`; end it after the test."""
    with started_runs(tmp_path) as start:
        yield start


@pytest.fixture
def shell(service: RunningService, redis_url: str, tmp_path: Path) -> Shell:
    """Return a shell beside a running service in which alice has two tasks, and bob one."""
    shell = Shell(directory=tmp_path, database=service.database, redis_url=redis_url)
    alice, bob = service.client("alice"), service.client("bob")
    milk = alice.post("/api/alice/tasks", json={"title": "Milk"}).json()["id"]
    alice.post("/api/alice/tasks", json={"title": "Bread"})
    alice.put(f"/api/alice/tasks/{milk}", json={"title": "Oat milk"})
    alice.patch(f"/api/alice/tasks/{milk}/complete")
    bob.post("/api/bob/tasks", json={"title": "Cheese"})
    eventually(lambda: shell.json("status")["lag_events"] == 0)
    return shell

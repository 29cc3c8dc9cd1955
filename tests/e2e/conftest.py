"""A user of the shared service: a client with the user's token, and the paths of the user's own; or a `./run` alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.all_in_one import StartRun, started_runs
from tests.servers import RunningService


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
    """Starts `./run`; what is left of it is ended after the test."""
    with started_runs(tmp_path) as start:
        yield start

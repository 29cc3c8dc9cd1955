"""A user of the shared service: a client with the user's token, and the path of the user's tasks."""

from __future__ import annotations

import httpx
import pytest

from tests.servers import RunningService


@pytest.fixture
def client(shared_service: RunningService, user: str) -> httpx.Client:
    return shared_service.client(user)


@pytest.fixture
def tasks(user: str) -> str:
    return f"/api/{user}/tasks"

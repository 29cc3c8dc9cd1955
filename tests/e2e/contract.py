"""What the tests of the contract share."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.servers import RunningService

ORIGIN = "http://localhost:3000"
FIELDS = {"id", "user_id", "title", "description", "completed", "created_at", "updated_at"}
PROBLEM_TYPE = re.compile(r"/problems/[a-z]+(-[a-z]+)*")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def create(client: httpx.Client, tasks: str, title: str = "a", **fields: Any) -> dict[str, Any]:
    answer = client.post(tasks, json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def titles(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


def assert_problem(answer: httpx.Response, status: int, detail: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert "message" not in problem
    assert problem["status"] == status
    assert PROBLEM_TYPE.fullmatch(problem["type"])
    if detail is not None:
        assert problem["detail"] == detail


def raw(service: RunningService, method: str, path: str, headers: list[tuple[str, str]]) -> int:
    """Return the status of a request that no client library sends: repeated headers, an announced but unsent body."""
    where = urlsplit(service.url)
    with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)) as connection:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            return response.status


def head(client: httpx.Client, base: str) -> int:
    """Return the position of the user's last event."""
    return int(client.get(f"{base}/history").json()["head"]["position"])

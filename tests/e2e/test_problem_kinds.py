"""Each problem has a type of its own, which leads to a page that explains it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.servers import RunningService, token

REFUSED: list[tuple[int, str, dict[str, Any]]] = [
    (400, "refused-preflight", {"method": "OPTIONS", "headers": {"Access-Control-Request-Method": "POST"}}),
    (401, "no-token", {"headers": {"Authorization": ""}}),
    (401, "invalid-token", {"headers": {"Authorization": "Bearer a.b.c"}}),
    (403, "foreign-path", {"url": "/api/somebody-else/tasks"}),
    (404, "path-not-found", {"url": "/nowhere"}),
    (404, "task-not-found", {"url": "{tasks}/9007199254740991"}),
    (405, "method-not-allowed", {"method": "PUT"}),
    (412, "task-changed", {"method": "DELETE", "url": "{task}", "headers": {"If-Match": '"7"'}}),
    (413, "body-too-large", {"method": "POST", "content": b"x" * (1024 * 1024 + 1)}),
    (415, "unsupported-body", {"method": "POST", "data": {"title": "a"}}),
    (422, "invalid-request", {"method": "POST", "json": {"title": ""}}),
    (422, "invalid-request", {"params": {"limit": "0"}}),
    (422, "key-reused", {"method": "POST", "json": {"title": "b"}, "headers": {"Idempotency-Key": "k"}}),
]


@pytest.mark.parametrize(
    ("status", "kind", "call"), REFUSED, ids=[f"{kind}-{n}" for n, (_, kind, _) in enumerate(REFUSED)]
)
def test_a_problem_says_its_kind_and_its_page_explains_it(
    client: httpx.Client, tasks: str, status: int, kind: str, call: dict[str, Any]
) -> None:
    made = client.post(tasks, json={"title": "a"}, headers={"Idempotency-Key": "k"})
    url = call.get("url", tasks).format(tasks=tasks, task=made.headers["location"])
    origin = {"Origin": "https://evil.example"} if call.get("method") == "OPTIONS" else {}
    sent = {"method": "GET", **call, "url": url, "headers": {**origin, **call.get("headers", {})}}
    answer = client.request(**sent)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{kind}")
    page = client.get(problem["type"], headers={"Authorization": ""})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert problem["title"].replace("'", "&#x27;") in page.text


def test_an_expired_token_has_a_kind_of_its_own(shared_service: RunningService, user: str, tasks: str) -> None:
    expired = token(user, exp=int(time.time()) - 3600)
    with httpx.Client(base_url=shared_service.url) as anonymous:
        answer = anonymous.get(tasks, headers={"Authorization": f"Bearer {expired}"})
    assert answer.json()["type"] == "/problems/expired-token"
    said = 'Bearer error="invalid_token", error_description="Token has expired"'
    assert answer.headers["www-authenticate"] == said


def test_the_list_of_problems_leads_to_each_page(client: httpx.Client) -> None:
    page = client.get("/problems")
    found = [part.split('"')[0] for part in page.text.split('<a href="')[1:]]
    assert "/problems/task-not-found" in found
    assert len(found) == len(set(found)) > 20
    for path in found:
        assert path in client.get(path).text


def test_a_problem_that_does_not_exist_has_no_page(client: httpx.Client) -> None:
    answer = client.get("/problems/nothing")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/path-not-found")
    assert client.head("/problems/task-not-found").status_code == 200
    assert client.post("/problems/task-not-found").headers["allow"] == "GET, HEAD"

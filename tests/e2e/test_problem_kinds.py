"""The pages of problems, and what a client learns of an expired token; see test_every_problem_kind.py."""

from __future__ import annotations

import time

import httpx

from tests.servers import RunningService, token


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

"""Point 16 of the contract: changes since a token, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.contract import assert_problem, create
from tests.replica import Replica
from tests.servers import RunningService


def follow(client: httpx.Client, path: str, replica: Replica, limit: int = 1000) -> None:
    """Bring a replica up to date."""
    more = True
    while more:
        since = {} if replica.token is None else {"since": replica.token}
        answer = client.get(path, params={"limit": limit, **since})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        replica.apply(found)
        more = found["more"]


def test_16_a_replica_follows_every_write_at_once(shared_service: RunningService, user: str) -> None:
    client, replica, small = shared_service.client(user), Replica(), Replica()
    tasks, changes = f"/api/{user}/tasks", f"/api/{user}/changes"
    ids = [create(client, tasks, f"task {n} \u2028 é")["id"] for n in range(7)]
    follow(client, changes, small, 2)
    for step in range(30):
        task = f"{tasks}/{ids[step % len(ids)]}"
        match step % 5:
            case 0:
                client.delete(task)
                ids[step % len(ids)] = create(client, tasks, f"new {step}")["id"]
            case 1:
                client.put(task, json={"title": f"edited {step}"})
            case _:
                client.patch(f"{task}/complete")
        follow(client, changes, replica)
        assert replica.listed() == sorted(client.get(tasks).json(), key=lambda task: task["id"])
    follow(client, changes, small, 2)
    assert small.listed() == replica.listed()


def test_16_the_first_answer_has_all_tasks_and_an_empty_since_is_none(
    shared_service: RunningService, user: str
) -> None:
    client = shared_service.client(user)
    task = create(client, f"/api/{user}/tasks")
    first = client.get(f"/api/{user}/changes").json()
    assert list(first) == ["token", "position", "more", "tasks", "deleted"]
    assert (first["more"], first["tasks"], first["deleted"]) == (False, [task], [])
    assert client.get(f"/api/{user}/changes", params={"since": ""}).json() == first
    assert client.get(f"/api/{user}/changes/", params={"since": first["token"]}).json() == first | {"tasks": []}


@pytest.mark.parametrize("token", ["x", "AAAA", "W10", "0", "%00", "é", "a" * 5000])
def test_16_an_unknown_token_is_410_and_says_what_to_do(shared_service: RunningService, user: str, token: str) -> None:
    detail = "This token is not known any more: forget what you hold, and ask without a token"
    assert_problem(shared_service.client(user).get(f"/api/{user}/changes", params={"since": token}), 410, detail)


def test_16_another_users_token_is_unknown(shared_service: RunningService, user: str) -> None:
    theirs = shared_service.client(f"{user}-other")
    create(theirs, f"/api/{user}-other/tasks")
    token = theirs.get(f"/api/{user}-other/changes").json()["token"]
    client = shared_service.client(user)
    create(client, f"/api/{user}/tasks")
    assert client.get(f"/api/{user}/changes", params={"since": token}).status_code == 410


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", ""])
def test_16_a_limit_that_is_none_is_422(shared_service: RunningService, user: str, limit: str) -> None:
    answer = shared_service.client(user).get(f"/api/{user}/changes", params={"limit": limit})
    assert_problem(answer, 422, "limit: must be a number from 1 to 1000")


def test_16_changes_need_the_users_own_token(shared_service: RunningService, user: str) -> None:
    assert_problem(shared_service.client().get(f"/api/{user}/changes"), 401)
    assert_problem(shared_service.client(user).get("/api/somebody/changes"), 403)


def test_16_a_token_from_before_an_erasure_is_unknown(shared_service: RunningService, user: str) -> None:
    client = shared_service.client(user)
    create(client, f"/api/{user}/tasks")
    token = client.get(f"/api/{user}/changes").json()["token"]
    shared_service.database.execute("SELECT tasklog.erase($1, 'operator', 'test')", user)
    assert client.get(f"/api/{user}/changes", params={"since": token}).status_code == 410
    first = client.get(f"/api/{user}/changes").json()
    assert (first["tasks"], first["deleted"], first["more"]) == ([], [], False)


def test_16_many_and_long_tasks_come_whole_in_parts(shared_service: RunningService, user: str) -> None:
    client, replica = shared_service.client(user), Replica()
    for n in range(4):
        create(client, f"/api/{user}/tasks", f"long {n}", description="ä" * 300_000)
    answer = client.get(f"/api/{user}/changes")
    replica.apply(json.loads(answer.content))
    assert [len(task["description"]) for task in replica.listed()] == [300_000] * 4
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "private, no-store"

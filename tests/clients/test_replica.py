"""The replica of `clients/typescript`, in Node, against the running service.

Seen to fail: with commands on a task left as they are when the task gets its id.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.clients.driven import DrivenReplica, ProblemSeenError, driven_replica
from tests.servers import RunningService, eventually


@pytest.fixture
def replica(shared_service: RunningService, user: str) -> Iterator[DrivenReplica]:
    with driven_replica(shared_service.url, user) as driven:
        yield driven


@pytest.fixture
def client(shared_service: RunningService, user: str) -> httpx.Client:
    return shared_service.client(user)


def listed(client: httpx.Client, user: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = client.get(f"/api/{user}/tasks").raise_for_status().json()
    return tasks


def by_id(tasks: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {task["id"]: task for task in tasks}


def test_a_replica_begins_with_the_tasks_that_there_are(
    replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    for title in ("Milk", "Bread", "Cheese"):
        client.post(f"/api/{user}/tasks", json={"title": title})
    assert eventually(lambda: replica.tasks() == listed(client, user))
    assert replica.titles() == ["Cheese", "Bread", "Milk"]


def test_a_command_is_shown_at_once_and_then_as_the_service_has_it(
    replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    created = replica.begin("create", {"title": "Milk", "tags": ["home"]})
    assert replica.titles() == ["Milk"]
    task = created.result(30)
    assert task["id"] > 0
    assert replica.call("edit", task["id"], {"title": "Oat milk"})["title"] == "Oat milk"
    assert replica.call("complete", task["id"])["completed"] is True
    assert listed(client, user) == replica.tasks()
    assert [(task["title"], task["completed"], task["tags"]) for task in replica.tasks()] == [
        ("Oat milk", True, ["home"])
    ]
    replica.call("delete", task["id"])
    assert replica.tasks() == listed(client, user) == []


def test_what_the_service_refuses_is_no_longer_shown(replica: DrivenReplica, client: httpx.Client, user: str) -> None:
    created = replica.begin("create", {"title": "x" * 201})
    with pytest.raises(ProblemSeenError) as seen:
        created.result(30)
    assert seen.value.status == 422
    assert replica.tasks() == listed(client, user) == []


def test_commands_on_a_task_that_is_not_created_yet_follow_it(replica: DrivenReplica, user: str) -> None:
    given = [replica.begin("create", {"title": "Milk"}), replica.begin("edit", -1, {"title": "Oat milk"})]
    given.append(replica.begin("complete", -1))
    assert [future.result(30)["title"] for future in given] == ["Milk", "Oat milk", "Oat milk"]
    assert [(task["title"], task["completed"]) for task in replica.tasks()] == [("Oat milk", True)]


def test_a_replica_beside_other_writers_ends_equal_to_the_list(
    replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    chance = random.Random(20261128)
    given = []
    for number in range(60):
        client.post(f"/api/{user}/tasks", json={"title": f"theirs {number}"})
        given.append(replica.begin("create", {"title": f"ours {number}"}))
        known = [task["id"] for task in replica.tasks()]
        own = chance.choice(known)
        given.append(replica.begin(chance.choice(["complete", "delete"]), own))
        theirs = chance.choice([task["id"] for task in listed(client, user)] or [0])
        client.put(f"/api/{user}/tasks/{theirs}", json={"title": f"edited {number}"})
    for future in given:
        with suppress(ProblemSeenError):  # the task may be gone
            future.result(30)
    assert eventually(lambda: by_id(replica.tasks()) == by_id(listed(client, user)))
    assert len({task["title"] for task in listed(client, user)}) == len(listed(client, user)) > 10


def test_commands_wait_while_the_service_is_down_and_are_carried_out_once(service: RunningService) -> None:
    client = service.client("alice")
    with driven_replica(service.url, "alice") as replica:
        replica.call("create", {"title": "Milk"})
        for number in range(3):
            assert service.gateway.process is not None
            service.gateway.process.kill()
            service.gateway.process.wait(10)
            replica.begin("create", {"title": f"while down {number}"})
            replica.begin("complete", -2 - number)
            service.gateway.start()
        assert eventually(lambda: len(listed(client, "alice")) == 4, 60)
        assert eventually(lambda: by_id(replica.tasks()) == by_id(listed(client, "alice")), 60)
        assert all(task["completed"] for task in replica.tasks() if task["title"] != "Milk")
        assert sorted(replica.titles()) == ["Milk", "while down 0", "while down 1", "while down 2"]
        events = client.get("/api/alice/history").json()["events"]
        assert [event["type"] for event in events].count("task.created") == 4

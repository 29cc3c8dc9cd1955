"""The replica of `clients/typescript`, in Node, against the running service.

Seen to fail: with commands on a task left as they are when the task gets its id, with answered commands shown until the
stream reaches their position whatever was restored, with old commands sent without a look into the queue, with
listeners called for each of many commands, and with a refused token sent again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from tests.clients.driven import DrivenReplica, ProblemSeenError, driven_replica
from tests.servers import RunningService, eventually, token


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


RESTORE: Final = """
    WITH back AS (UPDATE tasklog.streams s SET head = e.position, hash = e.hash, unprojected_since = now()
                  FROM tasklog.events e WHERE s.user_id = $1 AND e.user_id = $1 AND e.position = 1),
         keys AS (DELETE FROM tasklog.idempotency_keys WHERE user_id = $1),
         rows AS (DELETE FROM tasklog.tasks WHERE user_id = $1),
         projected AS (DELETE FROM tasklog.checkpoints WHERE user_id = $1)
    DELETE FROM tasklog.events WHERE user_id = $1 AND position > 1
"""


@pytest.mark.parametrize("is_token_known", [True, False])
def test_what_was_answered_and_then_lost_by_a_restore_is_not_shown_for_ever(
    shared_service: RunningService, replica: DrivenReplica, client: httpx.Client, user: str, *, is_token_known: bool
) -> None:
    client.post(f"/api/{user}/tasks", json={"title": "Milk"})
    assert eventually(lambda: replica.titles() == ["Milk"])
    if not is_token_known:
        replica.call("create", {"title": "Bread"})
        assert eventually(lambda: replica.titles() == ["Bread", "Milk"])
    replica.call("hold")
    replica.call("create", {"title": "Tea"})
    assert replica.titles()[0] == "Tea"
    shared_service.database.execute(RESTORE, user)
    if not is_token_known:
        client.post(f"/api/{user}/tasks", json={"title": "Cheese"})
    replica.call("release")
    assert eventually(lambda: replica.tasks() == listed(client, user))
    assert replica.titles() == ["Milk"] if is_token_known else ["Cheese", "Milk"]


def release_and_start_anew(replica: DrivenReplica) -> None:
    """Let the stream go on; return when its token was refused, and a stream was asked for without one."""
    streams = replica.call("streams")
    replica.call("release")
    assert eventually(lambda: replica.call("streams") >= streams + 2)


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_command_under_way_while_the_replica_starts_anew_is_carried_out_once_and_shown_as_it_is(
    shared_service: RunningService, replica: DrivenReplica, client: httpx.Client, user: str, *, is_sent: bool
) -> None:
    """Its answer may be of the history that was lost, at a position that the new one has not reached."""
    client.post(f"/api/{user}/tasks", json={"title": "Milk"})
    replica.call("create", {"title": "Bread"})
    assert eventually(lambda: replica.titles() == ["Bread", "Milk"])
    replica.call("holdCommands", not is_sent)
    created = replica.begin("create", {"title": "Tea"})
    assert eventually(lambda: len(listed(client, user)) == (3 if is_sent else 2))
    replica.call("hold")
    shared_service.database.execute(RESTORE, user)
    client.post(f"/api/{user}/tasks", json={"title": "Cheese"})
    release_and_start_anew(replica)
    assert replica.titles()[0] == "Tea"
    replica.call("releaseCommands")
    assert created.result(30)["title"] == "Tea"
    there = ["Cheese", "Milk"] if is_sent else ["Tea", "Cheese", "Milk"]
    assert eventually(lambda: replica.tasks() == listed(client, user))
    assert replica.titles() == there
    assert replica.call("state")["waiting"] == 0


def test_a_command_that_waits_while_all_text_is_erased_is_carried_out_once(
    shared_service: RunningService, replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    replica.call("create", {"title": "Milk"})
    assert eventually(lambda: replica.tasks() == listed(client, user))
    replica.call("holdCommands", True)
    given = [replica.begin("create", {"title": "Tea"}), replica.begin("complete", -2)]
    replica.call("hold")
    shared_service.database.execute("SELECT tasklog.erase($1, 'operator', 'request')", user)
    release_and_start_anew(replica)
    assert replica.titles()[0] == "Tea"
    replica.call("releaseCommands")
    assert [future.result(30)["completed"] for future in given] == [False, True]
    assert eventually(lambda: replica.tasks() == listed(client, user))
    assert replica.titles() == ["Tea"]
    types = [event["type"] for event in client.get(f"/api/{user}/history").json()["events"]]
    assert types == ["task.created", "task.deleted", "stream.erased", "task.created", "task.completed"]


def test_old_commands_that_another_page_has_settled_are_not_sent_again(
    replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    """The service knows the ids of commands for a day, so it would carry them out again."""
    two_days_ago = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    command = {"id": "c-1", "type": "task.create", "ref": "c-1", "data": {"title": "Milk"}}
    replica.call("wake", [{"n": 1, "local": -1, "at": two_days_ago, "command": command}])
    replica.call("create", {"title": "Bread"})
    assert eventually(lambda: replica.call("state")["waiting"] == 0)
    assert [task["title"] for task in listed(client, user)] == ["Bread"]
    assert eventually(lambda: replica.tasks() == listed(client, user))


def test_a_stream_whose_token_expires_goes_on_with_the_next_token(
    shared_service: RunningService, client: httpx.Client, user: str
) -> None:
    """The leeway is 30 s, so the first token is refused a moment after it has opened the stream."""
    client.post(f"/api/{user}/tasks", json={"title": "Milk"})
    for seconds in (3, 10, 40):  # if this machine cannot open the stream sooner
        expiring = token(user, exp=time.time() + seconds - 30)
        with driven_replica(shared_service.url, user, expiring, token(user)) as replica:
            assert eventually(lambda: replica.titles() == ["Milk"])
            if replica.call("tokens") == 1:
                continue
            assert eventually(lambda: replica.call("tokens") == 1, 60)
            assert eventually(lambda: replica.call("state")["live"])
            client.post(f"/api/{user}/tasks", json={"title": "Bread"})
            assert eventually(lambda: replica.tasks() == listed(client, user))
            assert replica.call("state")["problem"] is None
            return
    pytest.fail("no stream was open within 40 s")


def test_many_commands_given_at_once_are_shown_at_once_and_told_of_once(
    replica: DrivenReplica, client: httpx.Client, user: str
) -> None:
    assert eventually(lambda: replica.call("state")["live"])
    replica.call("holdCommands", True)
    assert replica.call("createMany", 500) == [500, 1]
    assert replica.call("state")["waiting"] == 500
    replica.call("releaseCommands")
    assert eventually(lambda: replica.call("state")["waiting"] == 0)
    assert eventually(lambda: replica.tasks() == listed(client, user))
    assert replica.titles() == [f"many {n}" for n in reversed(range(500))]


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

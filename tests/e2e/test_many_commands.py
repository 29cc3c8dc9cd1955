"""Many commands in one call: each its own, in order, in one append; repeated, it answers the same."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.servers import RunningService, eventually, token

Command = dict[str, Any]
Send = Callable[..., httpx.Response]


@pytest.fixture
def send(client: httpx.Client, base: str) -> Send:
    """Return a function that sends commands, with ids from their numbers unless they have one."""

    def post(*commands: Command, expected: int = 200) -> httpx.Response:
        answer = client.post(f"{base}/commands", json={"commands": numbered(commands)})
        assert answer.status_code == expected, answer.text
        return answer

    return post


def numbered(commands: tuple[Command, ...]) -> list[Command]:
    return [{"id": f"c-{n}", **command} for n, command in enumerate(commands)]


def create(title: str, **more: Any) -> Command:
    return {"type": "task.create", "data": {"title": title}, **more}


def change(kind: str, task: int | str, **more: Any) -> Command:
    return {"type": f"task.{kind}", "task": task, **more}


def statuses(answer: httpx.Response) -> list[int]:
    return [result["status"] for result in answer.json()["results"]]


def kinds(answer: httpx.Response) -> list[str | None]:
    return [result.get("problem", {}).get("type") for result in answer.json()["results"]]


def history(client: httpx.Client, base: str) -> list[dict[str, Any]]:
    return list(client.get(f"{base}/history", params={"limit": 1000}).json()["events"])


def test_each_type_of_command_has_its_result(client: httpx.Client, send: Send, base: str) -> None:
    answer = send(
        create("Milk", ref="milk"),
        {"type": "task.edit", "task": "milk", "data": {"title": "Oat", "description": "two litres"}},
        change("complete", "milk"),
        change("reopen", "milk"),
        change("toggle", "milk"),
        change("delete", "milk"),
    )
    results = answer.json()["results"]
    task = results[0]["task"]["id"]
    assert [result["id"] for result in results] == ["c-0", "c-1", "c-2", "c-3", "c-4", "c-5"]
    assert statuses(answer) == [201, 200, 200, 200, 200, 200]
    assert [result["task"]["id"] for result in results[:5]] == [task] * 5
    assert [result["task"]["title"] for result in results[:5]] == ["Milk", "Oat", "Oat", "Oat", "Oat"]
    assert [result["task"]["completed"] for result in results[:5]] == [False, False, True, False, True]
    assert results[5] == {"id": "c-5", "status": 200, "task": None, "deleted": task}
    assert [event["position"] for event in history(client, base)] == [1, 2, 3, 4, 5, 6]


def test_commands_take_the_fields_that_post_and_put_take(send: Send) -> None:
    fields = {"title": "Milk", "priority": "high", "tags": "shop, home", "due_date": "2026-03-01", "category": "food"}
    answer = send(
        {"type": "task.create", "ref": "m", "data": fields},
        {"type": "task.edit", "task": "m", "data": {"tags": ["a"], "status": "done", "priority": None}},
        {"type": "task.edit", "task": "m", "data": {"due_date": "soon"}},
    )
    made, edited, refused = answer.json()["results"]
    assert {name: made["task"][name] for name in fields} == {**fields, "tags": ["shop", "home"]}
    assert (edited["task"]["tags"], edited["task"]["completed"], edited["task"]["priority"]) == (["a"], True, "medium")
    assert (refused["status"], refused["problem"]["errors"][0]["field"]) == (422, "data.due_date")


def test_all_commands_are_one_append_in_their_order(client: httpx.Client, send: Send, base: str) -> None:
    """All events of a user in one append have the same time."""
    old = client.post(f"{base}/tasks", json={"title": "Old"}).json()["id"]
    answer = send(
        change("toggle", old),
        *(create(f"{n}", ref=f"r{n}" if n % 2 else None) for n in range(98)),
        change("toggle", "r1"),
    )
    events = history(client, base)
    last = events[-1]
    assert len({event["recorded_at"] for event in events[1:]}) == 1
    assert [event["task_id"] for event in events[1:]] == [result["task"]["id"] for result in answer.json()["results"]]
    assert (answer.headers["tasklog-position"], answer.headers["tasklog-hash"]) == (str(last["position"]), last["hash"])


def test_a_failure_is_a_commands_own_and_of_those_that_refer_to_it(client: httpx.Client, send: Send, base: str) -> None:
    answer = send(
        create("", ref="bad"),
        change("complete", "bad"),
        create("Good", ref="good"),
        change("archive", "good"),
        {"type": "task.edit", "task": "good", "data": {"title": 7}},
        change("delete", 9007199254740991),
        change("delete", 2**80),
        change("complete", "nobody"),
        create("Again", ref="good"),
        change("complete", "good", if_match=7),
        change("complete", "good"),
        {"type": 5},
    )
    invalid, missing = "/problems/invalid-request", "/problems/task-not-found"
    assert kinds(answer) == [
        invalid,
        "/problems/failed-reference",
        None,
        *(invalid, invalid),
        *(missing, missing),
        *(invalid, invalid),
        "/problems/task-changed",
        None,
        invalid,
    ]
    assert statuses(answer) == [422, 424, 201, 422, 422, 404, 404, 422, 422, 412, 200, 422]
    problem = answer.json()["results"][4]["problem"]
    assert problem["errors"] == [{"field": "data.title", "message": "must be a string"}]
    assert problem["detail"] == "data.title: must be a string"
    assert [(task["title"], task["completed"]) for task in client.get(f"{base}/tasks").json()] == [("Good", True)]
    assert [event["position"] for event in history(client, base)] == [1, 2]


def test_if_all_fail_there_is_neither_token_nor_receipt(send: Send) -> None:
    answer = send(create(""))
    assert answer.json()["token"] is None
    assert "tasklog-position" not in answer.headers


def test_a_repeated_call_answers_the_same_and_changes_nothing(client: httpx.Client, send: Send, base: str) -> None:
    commands = [create("Milk", ref="m"), change("toggle", "m"), create("Bread"), change("delete", "m"), create("")]
    first = send(*commands)
    send(*({**create(f"{n}"), "id": f"between-{n}"} for n in range(3)))
    again = send(*commands)
    assert again.content == first.content
    assert again.headers["tasklog-position"] == first.headers["tasklog-position"] == "4"
    assert len(history(client, base)) == 7


def test_a_call_whose_answer_was_lost_can_be_repeated(
    shared_service: RunningService, client: httpx.Client, send: Send, user: str, base: str
) -> None:
    commands = (create("Milk", ref="m"), change("toggle", "m"))
    body = orjson.dumps({"commands": numbered(commands)})
    head = (
        f"POST {base}/commands HTTP/1.1\r\nHost: tasklog\r\nAuthorization: Bearer {token(user)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    where = urlsplit(shared_service.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        eventually(lambda: len(history(client, base)) == 2)
    answer = send(*commands)
    assert statuses(answer) == [201, 200]
    (task,) = client.get(f"{base}/tasks").json()
    assert answer.json()["results"][1]["task"] == task
    assert len(history(client, base)) == 2


def test_what_failed_is_tried_again_and_what_was_done_is_not(client: httpx.Client, send: Send, base: str) -> None:
    first = send(create("Milk", ref="m"), change("complete", "m", if_match=9), change("toggle", "m"))
    assert statuses(first) == [201, 412, 200]
    again = send(create("Milk", ref="m"), change("complete", "m", if_match=2), change("toggle", "m"))
    assert statuses(again) == [201, 200, 200]
    assert again.json()["results"][0] == first.json()["results"][0]
    assert len(history(client, base)) == 2  # it was completed already


def test_a_command_is_the_same_as_the_request_with_its_id_as_idempotency_key(
    client: httpx.Client, send: Send, base: str
) -> None:
    key = {"Idempotency-Key": "c-0"}
    made = client.post(f"{base}/tasks", json={"title": "Milk"}, headers=key).json()
    assert send(create("Milk")).json()["results"][0]["task"] == made
    reused = send(create("Bread", ref="x"), change("toggle", "x"))
    assert kinds(reused) == ["/problems/key-reused", "/problems/failed-reference"]
    toggled = send({**change("toggle", made["id"]), "id": "t"}).json()["results"][0]["task"]
    repeated = client.patch(f"{base}/tasks/{made['id']}/complete", headers={"Idempotency-Key": "t"})
    assert repeated.json() == toggled


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "commands"),
        ({"commands": []}, "commands"),
        ({"commands": {}}, "commands"),
        ({"commands": [create(f"{n}", id=f"{n}") for n in range(101)]}, "commands"),
        ({"commands": [create("a", id="x"), create("b", id="x")]}, "commands.1.id"),
        ({"commands": [create("a")]}, "commands.0.id"),
        ({"commands": [create("a", id='"x"')]}, "commands.0.id"),
        ({"commands": ["create"]}, "commands.0"),
    ],
)
def test_a_call_that_cannot_be_answered_by_command_is_refused_as_a_whole(
    client: httpx.Client, base: str, body: Any, field: str
) -> None:
    answer = client.post(f"{base}/commands", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert client.get(f"{base}/tasks").json() == []


def test_a_call_is_limited_as_other_bodies_are_and_asks_for_the_same_token(client: httpx.Client, base: str) -> None:
    assert client.post(f"{base}/commands", content=b"x" * (1024 * 1024 + 1)).status_code == 413
    assert client.post(f"{base}/commands", content=b"a", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.post("/api/somebody-else/commands", json={}).status_code == 403
    assert client.post(f"{base}/commands", json={}, headers={"Authorization": ""}).status_code == 401
    assert client.put(f"{base}/commands", json={}).headers["allow"] == "POST"


def test_large_commands_are_carried_out_as_well(client: httpx.Client, send: Send, base: str) -> None:
    long = "x" * 90_000
    answer = send(
        *({**create(f"{n}", ref=f"r{n}"), "data": {"title": f"{n}", "description": long}} for n in range(10)),
        *(change("complete", f"r{n}") for n in range(10)),
    )
    assert statuses(answer) == [201] * 10 + [200] * 10
    assert {(task["completed"], len(task["description"])) for task in client.get(f"{base}/tasks").json()} == {
        (True, 90_000)
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_service_is_as_a_plain_model_says(client: httpx.Client, send: Send, base: str, seed: int) -> None:
    """Calls of random commands, of which some are repeated, against a dict of titles and states."""
    chance = random.Random(seed)
    tasks: dict[int, tuple[str, bool]] = {}
    for call in range(6):
        commands = [random_command(chance, [*tasks], f"{call}-{n}") for n in range(chance.randrange(1, 30))]
        answer = send(*commands)
        apply(tasks, commands, answer.json()["results"])
        assert send(*commands).content == answer.content
    listed = {task["id"]: (task["title"], task["completed"]) for task in client.get(f"{base}/tasks").json()}
    assert listed == tasks


def random_command(chance: random.Random, known: list[int], command_id: str) -> Command:
    """Return a command on a known task, on one that an earlier command of the call may have made, or for a new one."""
    n = int(command_id.split("-")[1])
    kind = chance.choice(["create", "create", "edit", "complete", "reopen", "toggle", "delete"])
    if kind == "create":
        return create(f"task {command_id}", id=command_id, ref=f"ref-{n}")
    task: int | str = chance.choice(known) if known and chance.random() < 0.5 else f"ref-{chance.randrange(max(n, 1))}"
    data = {"data": {"title": f"edited {command_id}"}} if kind == "edit" else {}
    return change(kind, task, id=command_id, **data)


def apply(tasks: dict[int, tuple[str, bool]], commands: list[Command], results: list[dict[str, Any]]) -> None:
    """Carry the commands out on the model, and check each status."""
    refs: dict[str, int] = {}
    for command, result in zip(commands, results, strict=True):
        kind = command["type"].removeprefix("task.")
        if kind == "create":
            assert result["status"] == 201
            refs[command["ref"]] = result["task"]["id"]
            tasks[result["task"]["id"]] = (command["data"]["title"], False)
            continue
        task = refs.get(command["task"]) if isinstance(command["task"], str) else command["task"]
        if task is None or task not in tasks:
            assert result["status"] == (422 if task is None else 404)
            continue
        title, completed = tasks.pop(task)
        if kind == "delete":
            assert (result["task"], result["deleted"]) == (None, task)
            continue
        wanted = {"complete": True, "reopen": False, "toggle": not completed}.get(kind, completed)
        tasks[task] = (command["data"]["title"] if kind == "edit" else title, wanted)
        assert (result["task"]["title"], result["task"]["completed"]) == tasks[task]

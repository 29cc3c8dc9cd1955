"""Explain over HTTP and on the command line: the members, what is refused, and the sentences.

Each answer is compared with the OpenAPI document, as everywhere.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.past import create, refused, told
from tests.e2e.shell import Shell
from tests.servers import RunningService


def explained(client: httpx.Client, base: str, position: int) -> dict[str, Any]:
    return told(client, f"{base}/events/{position}/explain")


def test_a_position_is_explained_from_the_command_to_the_row(client: httpx.Client, base: str, user: str) -> None:
    task = create(client, base, "Milk")
    client.put(f"{base}/tasks/{task}", json={"title": "Oat milk", "completed": True})
    entries = told(client, f"{base}/history")["events"]
    found = explained(client, base, 2)
    assert found["event"] == entries[1]
    assert found["command"] == {
        "type": "task.edit",
        "task_id": task,
        "version": 1,
        "data": {"title": "Oat milk", "completed": True},
        "undoes": None,
        "positions": [2, 3],
    }
    assert [found[f"state_{side}"]["task"]["title"] for side in ("before", "after")] == ["Milk", "Oat milk"]
    assert found["row_before"]["title_key"] == "milk"
    assert (found["row_after"]["user_id"], found["row_after"]["completed"]) == (user, False)
    assert explained(client, base, 3)["row_after"]["body"] == client.get(f"{base}/tasks/{task}").text


def test_a_deletion_a_restoration_and_an_undo_are_explained(client: httpx.Client, base: str) -> None:
    task = create(client, base, "Milk")
    client.delete(f"{base}/tasks/{task}")
    client.post(f"{base}/tasks/{task}/restore")
    client.post(f"{base}/undo", json={"position": 3})
    first, deletion, restoration, undo = [explained(client, base, position) for position in (1, 2, 3, 4)]
    assert (first["state_before"]["kind"], first["row_before"]) == ("none", None)
    assert (deletion["state_after"]["kind"], deletion["row_after"]) == ("deleted", None)
    assert (restoration["command"]["type"], restoration["row_after"]["title"]) == ("task.restore", "Milk")
    assert (undo["command"]["type"], undo["command"]["undoes"]) == ("task.delete", 3)


@pytest.mark.parametrize(
    ("position", "status"), [("2", 404), ("0", 404), ("9" * 18, 404), ("9" * 4000, 404), ("-1", 422), ("x", 422)]
)
def test_a_position_that_is_none_is_refused(client: httpx.Client, base: str, position: str, status: int) -> None:
    create(client, base)
    detail = refused(client.get(f"{base}/events/{position}/explain"), status)
    assert "position" in detail
    assert len(detail) < 100


def test_an_explanation_is_its_owners_alone(shared_service: RunningService, client: httpx.Client, base: str) -> None:
    create(client, base)
    refused(shared_service.client("stranger").get(f"{base}/events/1/explain"), 403)
    refused(httpx.get(f"{shared_service.url}{base}/events/1/explain"), 401)


def test_an_explanation_stays_the_same_until_an_erasure(
    shared_service: RunningService, client: httpx.Client, base: str, user: str
) -> None:
    create(client, base)
    path = f"{base}/events/1/explain"
    tag = {"If-None-Match": client.get(path).headers["etag"]}
    create(client, base)
    assert client.get(path, headers=tag).status_code == 304
    shared_service.database.execute(f"SELECT tasklog.erase('{user}', 'an operator', 'r')")
    answer = client.get(path, headers=tag)
    assert (answer.status_code, answer.json()["event"]["erased"]) == (200, True)


def test_the_command_explains_a_position_in_words(shell: Shell) -> None:
    done = shell.run("explain", "alice", 3)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Position 3 of alice, 20")
    for expected in (
        "Event: task.edited of task 1, its version 2",
        "Command: task.edit, decided at version 1; it led to position 3",
        "State: a task at version 1 -> a task at version 2",
        "    title: 'Milk' -> 'Oat milk'",
        "    title_key: 'milk' -> 'oat milk'",
        "    completed: no",
    ):
        assert expected in lines
    assert shell.json("explain", "alice", 3)["row_after"]["title"] == "Oat milk"


def test_the_command_says_what_it_cannot_explain(shell: Shell) -> None:
    for user, said in (("alice", "alice has no position 9: the last one is 4.\n"), ("eve", "no stream of eve.\n")):
        done = shell.run("explain", user, 9)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(said)
    shell.database.execute("UPDATE tasklog.events SET type = 'task.eaten' WHERE user_id = 'bob'")
    done = shell.run("explain", "bob", 1)
    assert (done.returncode, done.stdout) == (3, "")
    assert "'task.eaten'" in done.stderr
    shell.run("erase", "alice", "--yes")
    assert "It changes no task" in shell.run("explain", "alice", 7).stdout

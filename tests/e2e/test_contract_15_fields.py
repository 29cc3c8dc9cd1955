"""The contract's point on more fields of a task, with the forms in which real clients send them.

Seen to fail: with an alias left out of a body's field, with words of a status taken only in lower case, with tags
compared by case, with a zone kept as sent, without the time of completion, and with an empty body of PATCH refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.e2e.contract import TIME, assert_problem, create

DEFAULTS: dict[str, Any] = {"priority": "medium", "due_date": None, "tags": [], "category": None, "completed_at": None}
ALL: dict[str, Any] = {"priority": "High", "due_date": "2026-03-01", "tags": ["home"], "category": "Work"}
METHODS = ["POST", "PUT", "PATCH"]
WRONG: dict[str, list[object]] = {
    "priority": [3, True, ["high"], {}, "x" * 51, "a\0"],
    "category": [3, False, [], "x" * 51, "\0"],
    "tags": [3, {}, ["a", 1], [None], ["x" * 51], [str(n) for n in range(51)], "a\0b"],
    "due_date": [3, [], "tomorrow", "2026-02-30", "2026-3-1", "1769904000", "x" * 70],
    "dueDate": [3, "soon"],
    "due_at": [3, "soon"],
}


def send(client: httpx.Client, tasks: str, method: str, body: dict[str, Any]) -> httpx.Response:
    """Create a task with the body, or edit one with it that has all fields."""
    if method == "POST":
        return client.post(tasks, json={"title": "a"} | body)
    return client.request(method, f"{tasks}/{create(client, tasks, **ALL)['id']}", json=body)


def head(client: httpx.Client, tasks: str) -> int:
    """Return the position of the user's last event."""
    return int(client.get(tasks).headers["Tasklog-Position"])


def test_15_every_answer_has_every_field_with_its_default(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks)
    assert task.items() >= (DEFAULTS | {"is_completed": False, "status": "pending"}).items()
    assert client.get(f"{tasks}/{task['id']}").json() == task
    assert client.get(tasks).json() == [task]


@pytest.mark.parametrize("method", METHODS)
def test_15_fields_are_kept_and_returned_as_sent(client: httpx.Client, tasks: str, method: str) -> None:
    sent = {"priority": "URGENT", "due_date": "2026-12-24", "tags": ["Straße", "b c"], "category": " Two words "}
    answer = send(client, tasks, method, sent)
    task = answer.json()
    assert answer.status_code == (201 if method == "POST" else 200)
    assert task.items() >= sent.items()
    assert client.get(f"{tasks}/{task['id']}").json() == task
    assert task in client.get(tasks).json()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T14:30", "2026-03-01T14:30"),
        ("2026-03-01T14:30:00", "2026-03-01T14:30:00"),
        ("2026-03-01 14:30:00.123456", "2026-03-01 14:30:00.123456"),
        ("2026-03-01T14:30:00.000Z", "2026-03-01T14:30:00.000Z"),
        ("2026-03-01T14:30:00+00:00", "2026-03-01T14:30:00Z"),
        ("2026-03-01T00:30:00+05:30", "2026-02-28T19:00:00Z"),
        ("", None),
        (None, None),
    ],
)
def test_15_a_due_date_is_returned_in_the_form_in_which_it_came(
    client: httpx.Client, tasks: str, method: str, sent: str | None, shown: str | None
) -> None:
    assert send(client, tasks, method, {"due_date": sent}).json()["due_date"] == shown


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["dueDate", "due_at"])
def test_15_a_due_date_is_read_by_its_other_names(client: httpx.Client, tasks: str, method: str, name: str) -> None:
    assert send(client, tasks, method, {name: "2026-04-02"}).json()["due_date"] == "2026-04-02"
    both = {name: "2026-04-02", "due_date": "2026-05-03"}
    assert send(client, tasks, method, both).json()["due_date"] == "2026-05-03"
    assert send(client, tasks, method, {name: "2026-04-02", "due_date": None}).json()["due_date"] is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (["home", "work"], ["home", "work"]),
        ("home, work,,", ["home", "work"]),
        ([" Home ", "home", "", "HOME", "x,y"], ["Home", "x,y"]),
        ([], []),
        ("", []),
        (" , ", []),
        (None, []),
        ([str(n) for n in range(50)], [str(n) for n in range(50)]),
        (["\N{GLASS OF MILK}" * 50], ["\N{GLASS OF MILK}" * 50]),
    ],
)
def test_15_tags_are_an_array_or_one_text_with_commas(
    client: httpx.Client, tasks: str, method: str, sent: Any, shown: list[str]
) -> None:
    assert send(client, tasks, method, {"tags": sent}).json()["tags"] == shown


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("nothing", [None, ""])
def test_15_null_and_an_empty_text_clear(client: httpx.Client, tasks: str, method: str, nothing: str | None) -> None:
    assert send(client, tasks, method, dict.fromkeys(ALL, nothing)).json().items() >= DEFAULTS.items()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG.items() for value in values],
)
def test_15_a_wrong_kind_is_422_by_the_name_that_was_sent(
    client: httpx.Client, tasks: str, method: str, field: str, value: object
) -> None:
    answer = send(client, tasks, method, {field: value})
    assert_problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert answer.json()["detail"].startswith(f"{field}: must ")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("body", "completed"),
    [
        ({"is_completed": True}, True),
        *(({"status": word}, True) for word in ("completed", "done", "DONE", "Completed")),
        ({"completed": None, "is_completed": None, "status": "done"}, True),
        ({"completed": False, "is_completed": True, "status": "done"}, False),
        ({"is_completed": False, "status": "done"}, False),
        ({"status": "later"}, False),
        ({"status": ""}, False),
        ({"status": None}, False),
    ],
)
def test_15_a_pending_task_is_completed_by_each_name(
    client: httpx.Client, tasks: str, method: str, body: dict[str, Any], completed: bool
) -> None:
    task = create(client, tasks)
    shown = client.request(method, f"{tasks}/{task['id']}", json=body).json()
    assert (shown["completed"], shown["is_completed"]) == (completed, completed)
    assert shown["status"] == ("completed" if completed else "pending")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body",
    [
        {"is_completed": False},
        *({"status": word} for word in ("pending", "todo", "active", "incomplete", "in_progress", "In_Progress")),
    ],
)
def test_15_a_completed_task_is_reopened_by_each_name(
    client: httpx.Client, tasks: str, method: str, body: dict[str, Any]
) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    client.patch(f"{path}/complete")
    shown = client.request(method, path, json=body).json()
    assert (shown["completed"], shown["status"], shown["completed_at"]) == (False, "pending", None)


def test_15_a_status_of_another_kind_is_422(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    for body in ({"status": 1}, {"is_completed": "yes"}):
        answer = client.put(path, json=body)
        assert_problem(answer, 422)
        assert [error["field"] for error in answer.json()["errors"]] == [*body]


def test_15_a_creation_ignores_that_a_task_is_completed(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks, completed=True, is_completed=True, status="done")
    assert (task["completed"], task["completed_at"], task["status"]) == (False, None, "pending")
    assert create(client, tasks, completed="yes", is_completed=1, status=[])["completed"] is False


def test_15_a_task_says_when_it_was_completed(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    done = client.patch(f"{path}/complete").json()
    assert TIME.fullmatch(done["completed_at"])
    assert done["completed_at"] == done["updated_at"]
    edited = client.put(path, json={"title": "b"}).json()
    assert edited["completed_at"] == done["completed_at"]
    assert datetime.fromisoformat(edited["updated_at"]) > datetime.fromisoformat(done["updated_at"])
    assert client.patch(f"{path}/complete").json()["completed_at"] is None
    again = client.patch(path, json={"status": "done"}).json()
    assert datetime.fromisoformat(again["completed_at"]) > datetime.fromisoformat(done["completed_at"])
    assert client.get(path).json() == again


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_15_an_absent_field_is_kept_and_an_echo_records_nothing(client: httpx.Client, tasks: str, method: str) -> None:
    task = create(client, tasks, description="d", **ALL | {"due_date": "2026-03-01T10:00:00+02:00"})
    path, before = f"{tasks}/{task['id']}", head(client, tasks)
    for body in (task, {}, {"tags": "home"}, {"due_date": "2026-03-01T08:00Z"}):
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()) == (200, task)
    assert head(client, tasks) == before
    changed = client.request(method, path, json=task | {"category": "Home"}).json()
    assert changed == task | {"category": "Home", "updated_at": changed["updated_at"]}
    assert head(client, tasks) == before + 1


@pytest.mark.parametrize("content", [b"", b"null", b"{}"])
def test_15_a_patch_with_an_empty_body_changes_nothing(client: httpx.Client, tasks: str, content: bytes) -> None:
    task = create(client, tasks, **ALL)
    before = head(client, tasks)
    answer = client.patch(f"{tasks}/{task['id']}", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, task)
    assert head(client, tasks) == before


def test_15_a_patch_is_an_edit_in_every_other_way(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks)
    path = f"{tasks}/{task['id']}"
    edited = client.patch(path, json={"title": "b", "completed": True}, headers={"If-Match": '"1"'})
    assert (edited.status_code, edited.json()["title"], edited.json()["completed"]) == (200, "b", True)
    assert_problem(client.patch(path, json={"title": "c"}, headers={"If-Match": '"1"'}), 412)
    keyed = {"Idempotency-Key": "k"}
    first = client.patch(path, json={"category": "x"}, headers=keyed)
    assert client.patch(path, json={"category": "x"}, headers=keyed).json() == first.json()
    assert_problem(client.patch(path, json={"category": "y"}, headers=keyed), 422)
    assert_problem(client.patch(f"{tasks}/999999999", json={"title": "c"}), 404, "Task 999999999 not found")
    assert_problem(client.patch("/api/somebody/tasks/1", json={}), 403)


def test_15_the_past_and_the_history_have_the_fields(client: httpx.Client, tasks: str, base: str) -> None:
    task = create(client, tasks, **ALL)
    path = f"{tasks}/{task['id']}"
    client.put(path, json={"priority": "low", "tags": []})
    assert client.get(tasks, params={"as_of": 1}).json() == [task]
    first, second = client.get(f"{path}/history").json()["events"]
    assert {change["field"]: change["to"] for change in first["changes"]}.items() >= ALL.items()
    assert second["changes"] == [
        {"field": "priority", "from": "High", "to": "low"},
        {"field": "tags", "from": ["home"], "to": []},
    ]
    client.delete(path)
    (deleted,) = client.get(f"{base}/history", params={"type": "task.deleted"}).json()["events"]
    assert {"field": "due_date", "from": "2026-03-01", "to": None} in deleted["changes"]

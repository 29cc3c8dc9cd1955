"""Trash, restore and undo over HTTP: examples, and any history beside a plain model."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.e2e.contract import assert_problem, create, titles
from tests.servers import RunningService
from tests.undo_model import FIELDS, Change, UndoModel

CANNOT_UNDO = "/problems/cannot-undo"
_users = count(1)


def undo(client: httpx.Client, base: str, position: int | None = None, **headers: str) -> httpx.Response:
    body: dict[str, Any] = {} if position is None else {"json": {"position": position}}
    return client.post(f"{base}/undo", headers={name.replace("_", "-"): text for name, text in headers.items()}, **body)


def head(client: httpx.Client, base: str) -> int:
    return int(client.get(f"{base}/history").json()["head"]["position"])


def assert_cannot_undo(answer: httpx.Response, positions: list[int]) -> None:
    assert_problem(answer, 409)
    assert (answer.json()["type"], answer.json()["positions"]) == (CANNOT_UNDO, positions)


def test_the_trash_shows_deleted_tasks_newest_deletion_first(client: httpx.Client, base: str, tasks: str) -> None:
    made = [create(client, tasks, title, tags=["x"]) for title in "abc"]
    for task in (made[2], made[0]):
        assert client.delete(f"{tasks}/{task['id']}").status_code == 200
    answer = client.get(f"{base}/trash")
    assert titles(answer) == ["a", "c"]
    deleted = [event["recorded_at"] for event in client.get(f"{base}/history?type=task.deleted").json()["events"]]
    expected = [{**made[0], "deleted_at": deleted[1]}, {**made[2], "deleted_at": deleted[0]}]
    assert answer.json() == expected
    assert titles(client.get(tasks)) == ["b"]


def test_the_trash_comes_in_pages(client: httpx.Client, base: str, tasks: str) -> None:
    for title in "abcde":
        client.delete(f"{tasks}/{create(client, tasks, title)['id']}")
    page = client.get(f"{base}/trash?limit=2")
    seen = titles(page)
    while "next" in page.links:
        assert page.headers["X-Total-Count"] == "5"
        page = client.get(page.links["next"]["url"])
        seen += titles(page)
    assert seen == list("edcba")
    again = client.get(f"{base}/trash?limit=2")
    assert client.get(f"{base}/trash?limit=2", headers={"If-None-Match": again.headers["ETag"]}).status_code == 304
    client.post(f"{tasks}/{again.json()[0]['id']}/restore")
    after = client.get(f"{base}/trash?limit=2", headers={"If-None-Match": again.headers["ETag"]})
    assert (after.status_code, titles(after), after.headers["X-Total-Count"]) == (200, ["d", "c"], "4")


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=WyJjcmVhdGVkIiwiYWxsIiw5LDld", "limit=0", "limit=x", "limit=1001"]
)
def test_a_page_that_the_trash_does_not_have_is_refused(client: httpx.Client, base: str, query: str) -> None:
    assert_problem(client.get(f"{base}/trash?{query}"), 422)


def test_an_empty_trash_is_an_empty_array(client: httpx.Client, base: str) -> None:
    answer = client.get(f"{base}/trash")
    assert (answer.status_code, answer.json()) == (200, [])


def test_a_restored_task_is_as_it_was_at_its_old_place(client: httpx.Client, base: str, tasks: str) -> None:
    made = [create(client, tasks, title, priority="high", due_date="2026-02-14") for title in "abc"]
    before = client.patch(f"{tasks}/{made[1]['id']}/complete").json()
    client.delete(f"{tasks}/{made[1]['id']}")
    answer = client.post(f"{tasks}/{made[1]['id']}/restore")
    assert answer.status_code == 200
    assert answer.json() == {**before, "updated_at": answer.json()["updated_at"]}
    assert answer.json()["updated_at"] > before["updated_at"]
    assert client.get(tasks).json() == [made[2], answer.json(), made[0]]
    assert client.get(f"{tasks}/{made[1]['id']}").headers["ETag"] == answer.headers["ETag"]
    assert client.get(f"{base}/trash").json() == []
    entries = client.get(f"{tasks}/{made[1]['id']}/history").json()["events"]
    assert [entry["type"] for entry in entries] == ["task.created", "task.completed", "task.deleted", "task.restored"]
    gone, back = entries[2]["changes"], entries[3]["changes"]
    assert back == [{"field": change["field"], "from": None, "to": change["from"]} for change in gone] or (
        # a deletion is silent about an empty description, a restoration shows it
        [change for change in back if change["to"] is not None]
        == [{"field": change["field"], "from": None, "to": change["from"]} for change in gone if change["from"]]
    )
    assert titles(client.get(f"{tasks}?as_of={entries[2]['position']}")) == ["c", "a"]
    assert titles(client.get(f"{tasks}?as_of={entries[3]['position']}")) == ["c", "b", "a"]


def test_restoring_what_is_not_deleted_records_nothing(client: httpx.Client, base: str, tasks: str) -> None:
    task = create(client, tasks)
    answer = client.post(f"{tasks}/{task['id']}/restore")
    assert (answer.status_code, answer.json()) == (200, task)
    assert head(client, base) == 1


def test_a_task_that_never_was_cannot_be_restored(client: httpx.Client, tasks: str) -> None:
    assert_problem(client.post(f"{tasks}/999999999/restore"), 404, "Task 999999999 not found")


def test_a_restoration_knows_preconditions_and_idempotency_keys(client: httpx.Client, tasks: str, base: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    client.delete(path)
    assert_problem(client.post(f"{path}/restore", headers={"If-Match": '"1"'}), 412)
    key = {"Idempotency-Key": str(uuid4()), "If-Match": '"2"'}
    first = client.post(f"{path}/restore", headers=key)
    client.delete(path)
    again = client.post(f"{path}/restore", headers=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, first.json())
    assert head(client, base) == 4


def test_undo_takes_back_the_newest_change_and_the_one_before_it(client: httpx.Client, base: str, tasks: str) -> None:
    task = create(client, tasks, "a")
    path = f"{tasks}/{task['id']}"
    client.put(path, json={"title": "b", "completed": True})  # positions 2 and 3
    client.delete(path)
    answer = undo(client, base)
    assert (answer.status_code, answer.json()["undone"], answer.json()["position"]) == (200, 4, 5)
    assert answer.json()["tasks"] == client.get(tasks).json()
    assert titles(client.get(tasks)) == ["b"]
    answer = undo(client, base)
    assert (answer.json()["undone"], answer.json()["position"], answer.json()["deleted"]) == (3, 7, [])
    (now,) = client.get(tasks).json()
    assert now == {**task, "updated_at": now["updated_at"]}
    answer = undo(client, base)
    assert answer.json() == {"undone": 1, "position": 8, "tasks": [], "deleted": [task["id"]]}
    assert client.get(tasks).json() == []
    assert_cannot_undo(undo(client, base), [])
    assert head(client, base) == 8
    entries = client.get(f"{base}/history").json()["events"]
    assert [entry["undoes"] for entry in entries] == [None] * 4 + [4, 3, 3, 1]


def test_an_undo_is_undone_by_its_own_position(client: httpx.Client, base: str, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks, 'a')['id']}"
    client.put(path, json={"title": "b"})
    undone = undo(client, base, 2).json()
    assert [task["title"] for task in undone["tasks"]] == ["a"]
    redone = undo(client, base, undone["position"]).json()
    assert (redone["undone"], redone["position"]) == (3, 4)
    assert titles(client.get(tasks)) == ["b"]
    assert [task["title"] for task in undo(client, base, 2).json()["tasks"]] == ["a"]


def test_what_cannot_be_undone_names_what_stands_in_between_and_changes_nothing(
    client: httpx.Client, base: str, tasks: str
) -> None:
    path = f"{tasks}/{create(client, tasks, 'a')['id']}"
    for title in "bc":
        client.put(path, json={"title": title})
    client.put(path, json={"description": "d"})
    assert_cannot_undo(undo(client, base, 2), [3])
    assert_cannot_undo(undo(client, base, 1), [2, 3, 4])
    assert undo(client, base, 3).status_code == 200
    assert_cannot_undo(undo(client, base, 3), [5])
    assert head(client, base) == 5
    assert undo(client, base, 2).status_code == 200
    assert titles(client.get(tasks)) == ["a"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"position": 0}, 422),
        ({"position": "1"}, 422),
        ({"position": True}, 422),
        ({"position": 2**63}, 422),
        ({"position": 9}, 404),
        ({"position": 2**63 - 1}, 404),
        ([], 422),
    ],
)
def test_a_position_that_the_history_does_not_have(
    client: httpx.Client, base: str, tasks: str, body: Any, status: int
) -> None:
    create(client, tasks)
    assert_problem(client.post(f"{base}/undo", json=body), status)
    assert head(client, base) == 1


@pytest.mark.parametrize("sent", [{}, {"json": {}}, {"json": None}, {"content": b""}, {"json": {"position": None}}])
def test_an_undo_without_a_position_takes_any_empty_body(
    client: httpx.Client, base: str, tasks: str, sent: dict[str, Any]
) -> None:
    create(client, tasks)
    answer = client.post(f"{base}/undo", **sent)
    assert (answer.status_code, answer.json()["undone"]) == (200, 1)


def test_an_undo_is_carried_out_once_under_its_key(client: httpx.Client, base: str, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks, 'a')['id']}"
    for title in "bc":
        client.put(path, json={"title": title})
    key = str(uuid4())
    first = undo(client, base, Idempotency_Key=key)
    again = undo(client, base, Idempotency_Key=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.json()["undone"] == 3
    assert titles(client.get(tasks)) == ["b"]
    assert_problem(undo(client, base, 2, Idempotency_Key=key), 422)
    named = str(uuid4())
    first = undo(client, base, 2, Idempotency_Key=named)
    assert undo(client, base, 2, Idempotency_Key=named).json() == first.json()
    assert head(client, base) == 5


def test_an_undo_knows_the_version_of_its_task(client: httpx.Client, base: str, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks, 'a')['id']}"
    client.put(path, json={"title": "b"})
    assert_problem(undo(client, base, If_Match='"1"'), 412)
    assert undo(client, base, If_Match='"2"').status_code == 200


def test_nobody_undoes_or_sees_the_trash_of_another(shared_service: RunningService, tasks: str, base: str) -> None:
    other = shared_service.client("somebody-else")
    for answer in (
        other.get(f"{base}/trash"),
        other.post(f"{base}/undo"),
        other.post(f"{tasks}/1/restore"),
    ):
        assert_problem(answer, 403)


class UndoBesideModel(RuleBasedStateMachine):
    """Each rule calls the service and the model; after each, the list and the trash are the same on both."""

    def __init__(self, service: RunningService) -> None:
        super().__init__()
        user = f"undoing-{next(_users)}"
        self.http = service.client(user)
        self.base = f"/api/{user}"
        self.model = UndoModel()
        self.position = 0

    def moved(self, answer: httpx.Response) -> int | None:
        """Return the position after a write, None if it recorded nothing."""
        assert answer.status_code in {200, 201}, answer.text
        before, self.position = self.position, head(self.http, self.base)
        return self.position if self.position > before else None

    def picked(self, number: int) -> int:
        return list(self.model.tasks)[number % len(self.model.tasks)]

    @initialize()
    def begin(self) -> None:
        self.create()

    @rule()
    def create(self) -> None:
        answer = self.http.post(f"{self.base}/tasks", json={"title": "a", "description": "d"})
        position = self.moved(answer)
        assert position is not None
        self.model.create(position, answer.json()["id"], title="a", description="d", priority="medium")

    @rule(
        number=st.integers(0, 3),
        body=st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from("ab"),
                "description": st.none() | st.sampled_from("de"),
                "priority": st.sampled_from(["high", "low"]),
                "completed": st.booleans(),
            },
        ),
    )
    def edit(self, number: int, body: dict[str, Any]) -> None:
        task = self.picked(number)
        answer = self.http.put(f"{self.base}/tasks/{task}", json=body)
        if task in self.model.deleted():
            assert_problem(answer, 404)
            return
        before = self.model.fields(task)
        changed = {name: value for name, value in body.items() if value != before[name]}
        if (position := self.moved(answer)) is not None:
            self.model.set(position, task, **changed)
        assert bool(changed) is (position is not None)

    @rule(number=st.integers(0, 3))
    def toggle(self, number: int) -> None:
        task = self.picked(number)
        if task not in self.model.deleted():
            position = self.moved(self.http.patch(f"{self.base}/tasks/{task}/complete"))
            assert position is not None
            self.model.set(position, task, completed=not self.model.fields(task)["completed"])

    @rule(number=st.integers(0, 3))
    def delete(self, number: int) -> None:
        task = self.picked(number)
        if task not in self.model.deleted():
            position = self.moved(self.http.delete(f"{self.base}/tasks/{task}"))
            assert position is not None
            self.model.set(position, task, here=False)

    @rule(number=st.integers(0, 3))
    def restore(self, number: int) -> None:
        task = self.picked(number)
        position = self.moved(self.http.post(f"{self.base}/tasks/{task}/restore"))
        assert (position is not None) is (task in self.model.deleted())
        if position is not None:
            self.model.set(position, task, here=True)

    @rule(back=st.integers(0, 12))
    def undo(self, back: int) -> None:
        change = self.model.changes[-1 - back % len(self.model.changes)]
        self.undone(undo(self.http, self.base, change.position), change)

    @rule()
    def undo_newest(self) -> None:
        answer, newest = undo(self.http, self.base), self.model.newest()
        if newest is None:
            assert_cannot_undo(answer, [])
        else:
            self.undone(answer, newest)

    def undone(self, answer: httpx.Response, change: Change) -> None:
        if not self.model.may_undo(change):
            assert_problem(answer, 409)
            assert head(self.http, self.base) == self.position
            assert answer.json()["positions"]
            return
        position = self.moved(answer)
        assert position is not None
        self.model.undo(position, change)
        assert (answer.json()["undone"], answer.json()["position"]) == (change.position, position)
        gone = change.task in self.model.deleted()
        assert answer.json()["deleted"] == ([change.task] if gone else [])
        assert [task["id"] for task in answer.json()["tasks"]] == ([] if gone else [change.task])

    @invariant()
    def the_list_and_the_trash_are_as_the_model_says(self) -> None:
        shown = self.http.get(f"{self.base}/tasks").json()
        assert {task["id"]: {name: task[name] for name in FIELDS} for task in shown} == self.model.here()
        trash = self.http.get(f"{self.base}/trash").json()
        assert {task["id"] for task in trash} == self.model.deleted()
        assert all({name: task[name] for name in FIELDS} == self.model.fields(task["id"]) for task in trash)

    def teardown(self) -> None:
        """Check that every moment of the past is as it was."""
        tasks = self.http.get(f"{self.base}/tasks?as_of={self.position}").json()
        assert tasks == self.http.get(f"{self.base}/tasks").json()


def test_any_history_with_undos_is_as_the_model_says(shared_service: RunningService) -> None:
    run_state_machine_as_test(
        lambda: UndoBesideModel(shared_service),  # type: ignore[arg-type] # whatever makes a machine will do
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

"""Undo over HTTP: examples, and any history with trash and restorations beside a plain model."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.e2e.contract import assert_problem, create, head, titles
from tests.servers import RunningService
from tests.undo_model import FIELDS, Change, UndoModel

CANNOT_UNDO = "/problems/cannot-undo"
_users = count(1)


def undo(client: httpx.Client, base: str, position: int | None = None, **headers: str) -> httpx.Response:
    body: dict[str, Any] = {} if position is None else {"json": {"position": position}}
    return client.post(f"{base}/undo", headers={name.replace("_", "-"): text for name, text in headers.items()}, **body)


def assert_cannot_undo(answer: httpx.Response, positions: list[int]) -> None:
    assert_problem(answer, 409)
    assert (answer.json()["type"], answer.json()["positions"]) == (CANNOT_UNDO, positions)


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

"""A user who calls every route of some services in turn, and compares each answer with a plain model."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, Protocol, TypeVar

import httpx

from domain.commands import DeleteTask, EditTask, ToggleTask
from tests.model import LISTS, Model, Sort, Status
from tests.servers import eventually, token

T = TypeVar("T")

_PAUSE_SECONDS: Final = 0.3
"""Seconds between rounds, so that starting processes get most of the machine."""
_TITLES: Final = ("Milk", "milk", "Äpfel", "a" * 200, "Zoë's \N{GLASS OF MILK}", "x\ny")


_OF_1_0: Final = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
"""The members that release 1.0 shows."""
_FIELDS: Final[tuple[dict[str, Any], ...]] = (
    {"priority": "HIGH", "due_date": "2026-03-01", "tags": ["home", "Straße"], "category": "Work"},
    {"due_date": "2026-03-01T14:30:00Z"},
    {"tags": [], "priority": "medium", "category": '"status":"pending"}'},
    {"due_date": None, "category": None},
)


def spread(items: Sequence[T]) -> Sequence[T]:
    """Return about ten of the items, from first to last."""
    return items[:: len(items) // 10 + 1]


class Services(Protocol):
    """Where writes and reads go."""

    write_url: str
    read_url: str
    knows_fields: bool
    """Whether they know the fields that joined after release 1.0."""


class Walker:
    """One user. `sides` are the services, used in turn: a write on one, its read on the next."""

    def __init__(self, user: str, sides: Sequence[Services]) -> None:
        self.sides = sides
        self.rounds = 0
        self.lists: dict[int, list[dict[str, Any]]] = {}
        """The list at some positions of the history."""
        self._model = Model(user)
        self._answers: dict[int, dict[str, Any]] = {}
        self._created: list[dict[str, Any]] = []
        self._turn = count()
        self._asked = sides[0]
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token(user)}"}, timeout=20)

    def round(self) -> None:
        """Create, edit, toggle, list, read the past and delete."""
        number = self.rounds
        task = self._create(_TITLES[number % len(_TITLES)], f"in round {number}", f"key-{number}")
        self._edit(task, number)
        self._toggle(task)
        self._create_with_fields(number)
        self._compare_lists(*LISTS[number % len(LISTS)])
        self._compare_history(task, number)
        self._compare_past()
        while len(self._model.tasks) > 5:
            self._delete(min(self._model.tasks))
        self.rounds += 1

    def compare_past(self) -> None:
        """Read the list at some of the noted positions."""
        for position, expected in spread(list(self.lists.items())):
            answer = self._read("/tasks", as_of=position)
            assert (answer.status_code, answer.json()) == (200, self._as_shown(expected)), answer.text

    def repeat_keys(self) -> None:
        """Send some of the creations again: each is answered with the task as it was then."""
        for number in spread(range(self.rounds)):
            answer = self._post(_TITLES[number % len(_TITLES)], f"in round {number}", f"key-{number}")
            assert (answer.status_code, answer.json()) == (201, self._shown(self._created[number])), answer.text
            reused = self._post("Something else", None, f"key-{number}")
            assert reused.status_code == 422, reused.text

    def close(self) -> None:
        self._http.close()

    def _create(self, title: str, description: str, key: str) -> int:
        task = self._began(self._post(title, description, key), title=title, description=description)
        again = self._post(title, description, key)
        assert (again.status_code, again.json()) == (201, self._shown(self._answers[task])), again.text
        self._created.append(self._answers[task])
        return task

    def _create_with_fields(self, number: int) -> None:
        """Create a task with fields that 1.0 ignores, without a key: under a key it would be another request there."""
        fields = _FIELDS[number % len(_FIELDS)]
        answer = self._write("POST", "/tasks", json={"title": "With fields", **fields})
        known = fields if self._asked.knows_fields else {}
        self._began(answer, title="With fields", description=None, **known)

    def _began(self, answer: httpx.Response, **fields: Any) -> int:
        """Compare the answer to a creation, and read the task."""
        assert answer.status_code == 201, answer.text
        task = answer.json()
        task_id = int(task["id"])
        self._model.created(task_id, **fields)
        ours = {"id": task_id, "user_id": self._model.user, "completed_at": None}
        times = {name: task[name] for name in ("created_at", "updated_at")}
        self._answers[task_id] = ours | times | self._model.tasks[task_id]
        assert task == self._shown(self._answers[task_id])
        self._compare(task_id)
        return task_id

    def _post(self, title: str, description: str | None, key: str) -> httpx.Response:
        body = {"title": title, "description": description}
        return self._write("POST", "/tasks", json=body, headers={"Idempotency-Key": key})

    def _edit(self, task: int, number: int) -> None:
        body: dict[str, Any] = (
            {"title": f"Renamed {number}"} if number % 2 else {"description": None, "completed": True}
        )
        fields = _FIELDS[number % len(_FIELDS)]
        tag = self._read(f"/tasks/{task}").headers["ETag"].partition("-")[0].rstrip('"') + '"'
        answer = self._write("PUT", f"/tasks/{task}", json=body | fields, headers={"If-Match": tag})
        self._changed(task, answer, EditTask(**body, **(fields if self._asked.knows_fields else {})))

    def _toggle(self, task: int) -> None:
        self._changed(task, self._write("PATCH", f"/tasks/{task}/complete"), ToggleTask())

    def _changed(self, task: int, answer: httpx.Response, command: EditTask | ToggleTask) -> None:
        self._model.apply(task, command)
        assert answer.status_code == 200, answer.text
        shown, before = answer.json(), self._answers[task]
        after = before | self._model.tasks[task] | {"updated_at": shown["updated_at"]}
        if not after["completed"]:
            after["completed_at"] = None
        elif not before["completed"]:
            after["completed_at"] = after["updated_at"]
        assert shown == self._shown(after)
        self._answers[task] = after
        self._compare(task)

    def _delete(self, task: int) -> None:
        answer = self._write("DELETE", f"/tasks/{task}")
        assert (answer.status_code, answer.json()) == (200, {"message": "Task deleted successfully"}), answer.text
        self._model.apply(task, DeleteTask())
        assert self._read(f"/tasks/{task}").status_code == 404

    def _compare(self, task: int) -> None:
        answer = self._read(f"/tasks/{task}")
        assert (answer.status_code, answer.json()) == (200, self._shown(self._answers[task])), answer.text

    def _compare_lists(self, status: Status, sort: Sort) -> None:
        expected = [self._answers[task] for task in self._model.listed(status, sort)]
        answer = self._read("/tasks", status=status, sort=sort)
        assert (answer.status_code, answer.json()) == (200, self._as_shown(expected)), answer.text
        page = self._read("/tasks", status=status, sort=sort, limit=2)
        assert page.json() == self._as_shown(expected[:2])
        for place in range(2, len(expected), 2):
            page = self._http.get(self._side().read_url + page.links["next"]["url"])
            assert (page.status_code, page.json()) == (200, self._as_shown(expected[place : place + 2])), page.text
        assert "next" not in page.links
        whole = self._read("/tasks")
        tasks = [self._answers[task] for task in self._model.listed("all", "created")]
        assert whole.json() == self._as_shown(tasks)
        self.lists[int(whole.headers["Tasklog-Position"])] = tasks

    def _compare_history(self, task: int, number: int) -> None:
        """Compare the history with this round's commands: see `_edit`."""
        answer = self._read(f"/tasks/{task}/history")
        assert answer.status_code == 200, answer.text
        types = [event["type"] for event in answer.json()["events"]]
        last = ["task.completed"] if number % 2 else ["task.completed", "task.reopened"]
        assert types == ["task.created", "task.edited", *last]

    def _compare_past(self) -> None:
        position, expected = next(iter(self.lists.items()))
        answer = self._read("/tasks", as_of=position)
        assert (answer.status_code, answer.json()) == (200, self._as_shown(expected)), answer.text

    def _as_shown(self, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._shown(task) for task in tasks]

    def _shown(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task as the side shows it that was asked last."""
        return task if self._asked.knows_fields else {name: task[name] for name in _OF_1_0}

    def _side(self) -> Services:
        self._asked = self.sides[next(self._turn) % len(self.sides)]
        return self._asked

    def _read(self, path: str, **parameters: object) -> httpx.Response:
        url = f"{self._side().read_url}/api/{self._model.user}{path}"
        return self._http.get(url, params={name: str(value) for name, value in parameters.items()})

    def _write(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._http.request(method, f"{self._side().write_url}/api/{self._model.user}{path}", **request)


class Walk:
    """Walkers in separate threads; the first fault of any ends the walk."""

    def __init__(self, walkers: Sequence[Walker]) -> None:
        self.walkers = walkers
        self._over = threading.Event()
        self._faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=[walker]) for walker in walkers]

    def on(self, *sides: Services, rounds: int = 3) -> None:
        """Let all walkers use these services from now on, and wait until each has done some complete rounds."""
        for walker in self.walkers:
            walker.sides = sides
        before = [walker.rounds for walker in self.walkers]
        eventually(lambda: self._went_on(before, rounds), 120)

    def check(self) -> None:
        """Raise the first fault."""
        if self._faults:
            raise self._faults[0]

    def _went_on(self, before: list[int], rounds: int) -> bool:
        self.check()
        done = zip(self.walkers, before, strict=True)
        return all(walker.rounds >= number + rounds + 1 for walker, number in done)

    def _run(self, walker: Walker) -> None:
        try:
            while not self._over.wait(_PAUSE_SECONDS):
                walker.round()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._faults.append(error)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the walk after the current rounds."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()


@contextmanager
def walking(users: Sequence[str], *sides: Services) -> Iterator[Walk]:
    """Let users walk until the block ends."""
    walkers = [Walker(user, sides) for user in users]
    walk = Walk(walkers)
    walk.start()
    try:
        yield walk
    finally:
        walk.stop()
        for walker in walkers:
            walker.close()

"""Histories and stored data built by hand: correct ones, which the tests of the checker then spoil."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import orjson

from tests.chaos.checker import PLANTED, Evidence, Violation, check_answers, check_writes
from tests.chaos.fold import Event, TaskObject, Tasks, apply, contract_fields, listed
from tests.chaos.history import Kind, Operation
from tests.chaos.ledger import Stored
from tests.chaos.order import check_order
from tests.chaos.rows import encoded, row_of
from tests.chaos.storage import _link, check_projection, check_streams

START = datetime(2026, 1, 1, tzinfo=UTC)
Steps = list[tuple[str, str, int, dict[str, Any]]]
"""Marker, type, task and data of each event of one user."""

STEPS: Steps = [
    ("w1", "task.created", 1, {"title": "Milk w1", "description": None}),
    ("w2", "task.completed", 1, {}),
    ("w3", "task.created", 2, {"title": "Eggs w3", "description": None}),
    ("w4", "task.edited", 1, {"title": "Milk w4"}),
    ("w5", "task.deleted", 2, {}),
]
_KINDS: dict[str, Kind] = {"task.created": "create", "task.edited": "edit", "task.completed": "toggle"}


_TAG = {version: {"etag": f'"{version}"'} for version in (1, 2, 3)}


def stream(steps: Steps, user: str = "anna") -> list[Event]:
    """Return the events, one per second, each with its hash."""
    events: list[Event] = []
    for position, (marker, kind, task_id, data) in enumerate(steps, start=1):
        version = 1 + sum(event.task_id == task_id for event in events)
        text = orjson.dumps(data).decode()
        at = START + timedelta(seconds=position)
        events.append(Event(user, position, task_id, version, "id", kind, 1, data, text, "{}", marker, at, ""))
    return linked(events)


def linked(events: Iterable[Event]) -> list[Event]:
    """Return the events with the right hashes."""
    digest, chained = "0" * 64, []
    for event in events:
        digest = _link(digest, event)
        chained.append(event._replace(hash=digest))
    return chained


def tasks_at(events: Iterable[Event]) -> dict[int, TaskObject]:
    """Return a user's tasks after some events."""
    tasks = Tasks()
    for event in events:
        apply(tasks, event)
    return tasks


def stored(*streams: list[Event]) -> Stored:
    """Return what is stored for some users, one stream each."""
    by_user = {events[0].user: events for events in streams}
    rows = {}
    for user, events in by_user.items():
        for task_id, task in tasks_at(events).items():
            rows[user, task_id] = encoded(row_of(task))
    return Stored(
        streams=by_user,
        heads={user: (len(events), events[-1].hash) for user, events in by_user.items()},
        checkpoints={user: len(events) for user, events in by_user.items()},
        rows=rows,
    )


def history(steps: Steps) -> list[Operation]:
    """Return one acknowledged write per event, one after the other, and a list after each.

    The `n`th write lasts from second n to n.2, the list from n.4 to n.5.
    """
    operations = []
    events = stream(steps)
    for n, event in enumerate(events, start=1):
        tasks = tasks_at(events[:n])
        kind = _KINDS.get(event.type, "delete")
        write = Operation(user="anna", kind=kind, marker=event.marker, invoked=n, returned=n + 0.2, status=200)
        write.body = {"title": event.data["title"]} if "title" in event.data else None
        if kind != "create":
            write.task_id = event.task_id
        if kind != "delete":
            write.headers = {"etag": f'"{event.version}"'}
            write.answer = orjson.dumps(contract_fields(tasks[event.task_id]))
        operations += [write, listing(n + 0.4, n, tasks)]
    return operations


def listing(moment: float, position: int, tasks: dict[int, TaskObject], query: str = "") -> Operation:
    """Return a list that shows a position."""
    page, total = listed(tasks, query)
    return operation(
        "list",
        moment,
        200,
        query=query,
        headers={"etag": f'"{position}-mark"', "x-total-count": str(total)},
        answer=orjson.dumps(page),
    )


def getting(moment: float, version: int, task: TaskObject) -> Operation:
    """Return a read of a task that shows a version."""
    answer = orjson.dumps(contract_fields(task))
    return operation("get", moment, 200, task_id=task["id"], headers={"etag": f'"{version}"'}, answer=answer)


def refusal(kind: Kind, moment: float, status: int, task_id: int | None = 1, **more: Any) -> Operation:
    """Return a refused request, with an error in the usual shape."""
    return operation(kind, moment, status, **({"task_id": task_id, "answer": b'{"detail":"No"}'} | more))


def operation(kind: Kind, moment: float, status: int | None, **more: Any) -> Operation:
    """Return a request of anna that took a twentieth of a second; its kind and moment give its marker."""
    made = Operation(user="anna", kind=kind, marker=f"{kind}@{moment}", invoked=moment, returned=moment + 0.05)
    return replace(made, status=status, **more)


def everything_right() -> tuple[list[Operation], Stored]:
    """Return a history of everything that is allowed, without any fault, and what is stored after it."""
    operations = history(STEPS)
    operations[0].key, operations[6].if_match, operations[8].if_match = "k", 2, 1
    planted = [*STEPS, (f"{PLANTED}anna", "task.created", 3, {"title": "Planted", "description": None})]
    bobs = stream([("b1", "task.created", 9, {"title": "Tea", "description": "hot"})], "bob")
    return [*operations, _of_bob(bobs), *_repeats(), *_reads(), *_refusals()], stored(stream(planted), bobs)


def _at(position: int, task_id: int = 1) -> TaskObject:
    return tasks_at(stream(STEPS[:position]))[task_id]


def _of_bob(events: list[Event]) -> Operation:
    """Return a command of bob under the key of one of anna's."""
    body, answer = events[0].data, orjson.dumps(contract_fields(tasks_at(events)[9]))
    return operation("create", 7, 201, user="bob", marker="b1", key="k", body=body, headers=_TAG[1], answer=answer)


def _repeats() -> list[Operation]:
    """Return commands without an event: setting what already holds, and repeats under a key, however late."""
    first, completed, edited = (orjson.dumps(contract_fields(_at(position))) for position in (1, 2, 4))
    done = {"task_id": 1, "body": {"completed": True}}
    return [
        operation("create", 5.6, 201, key="k", headers=_TAG[1], answer=first),
        operation("set", 4.3, 200, **done, if_match=3, headers=_TAG[3], answer=edited),
        operation("set", 2.3, 200, **done, key="s", headers=_TAG[2], answer=completed),
        operation("set", 5.7, 200, **done, key="s", headers=_TAG[2], answer=completed),
    ]


def _reads() -> list[Operation]:
    tasks = tasks_at(stream(STEPS[:4]))
    return [
        operation("list", 3.6, 304, headers={"etag": '"3-mark"'}),
        getting(1.3, 1, _at(1)),
        getting(3.3, 2, _at(2)),
        getting(4.6, 1, _at(4, task_id=2)),
        listing(4.7, 4, tasks, "?status=pending"),
        listing(4.7, 4, tasks, "?status=completed"),
        listing(4.7, 4, tasks, "?sort=title&limit=1"),
    ]


def _refusals() -> list[Operation]:
    """Return refusals that were true at some moment of their request, and requests that got no answer."""
    return [
        refusal("get", 0.5, 404),
        refusal("get", 5.3, 404, task_id=2),
        refusal("toggle", 1.9, 404, task_id=2, returned=4.05),
        refusal("edit", 2.3, 412, if_match=1),
        refusal("edit", 1.3, 412, if_match=1, returned=2.1),
        refusal("edit", 1.35, 412, if_match=2, returned=2.1),
        refusal("toggle", 1.3, 409),
        refusal("list", 1.3, 429, task_id=None),
        refusal("list", 5.3, 503, task_id=None, headers={"retry-after": "1"}),
        refusal("toggle", 2.3, 503, headers={"retry-after": "1"}),
        operation("toggle", 2.35, None, task_id=1, returned=9.0),
        operation("list", 2.3, None),
    ]


def rules(operations: Iterable[Operation], found: Stored) -> set[str]:
    """Return the rules that a history and what is stored break."""
    evidence = Evidence(list(operations), found)
    checks: list[Iterable[Violation]] = [check_answers(evidence.history), check_writes(evidence), check_order(evidence)]
    return {violation.rule for violation in chain(*checks, check_streams(found), check_projection(found))}

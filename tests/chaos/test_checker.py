"""The checker on histories made by hand: it accepts what is right, and finds each wrong by its rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import orjson
import pytest

from tests.chaos.checker import Evidence, Violation, check_answers, check_writes
from tests.chaos.fold import Event, apply, contract_fields, listed, title_key
from tests.chaos.history import Operation
from tests.chaos.judge import check_log
from tests.chaos.ledger import Stored
from tests.chaos.order import check_order
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
KINDS: dict[str, Any] = {"task.created": "create", "task.edited": "edit", "task.completed": "toggle"}


def stream(steps: Steps) -> list[Event]:
    events: list[Event] = []
    digest = "0" * 64
    for position, (marker, kind, task_id, data) in enumerate(steps, start=1):
        version = 1 + sum(event.task_id == task_id for event in events)
        text = orjson.dumps(data).decode()
        at = START + timedelta(seconds=position)
        event = Event("anna", position, task_id, version, "id", kind, 1, data, text, "{}", marker, at, "")
        digest = _link(digest, event)
        events.append(event._replace(hash=digest))
    return events


def stored(steps: Steps) -> Stored:
    events = stream(steps)
    tasks: dict[int, dict[str, Any]] = {}
    for event in events:
        apply(tasks, event)
    rows = {}
    for task_id, task in tasks.items():
        body = orjson.dumps(contract_fields(task)).decode()
        rows["anna", task_id] = {**task, "title_key": title_key(task["title"]), "body": body}
    return Stored(
        streams={"anna": events},
        heads={"anna": (len(events), events[-1].hash)},
        checkpoints={"anna": len(events)},
        rows=rows,
    )


def history(steps: Steps) -> list[Operation]:
    """Each event's write, acknowledged, one after the other, and a list after each."""
    operations = []
    tasks: dict[int, dict[str, Any]] = {}
    for n, event in enumerate(stream(steps), start=1):
        apply(tasks, event)
        kind = KINDS.get(event.type, "delete")
        write = Operation(user="anna", kind=kind, marker=event.marker, invoked=n, returned=n + 0.2, status=200)
        write.body = {"title": event.data["title"]} if "title" in event.data else None
        if kind != "create":
            write.task_id = event.task_id
        if kind != "delete":
            write.headers = {"etag": f'"{event.version}"'}
            write.answer = orjson.dumps(contract_fields(tasks[event.task_id]))
        operations += [write, listing(n + 0.4, n, tasks)]
    return operations


def listing(moment: float, position: int, tasks: dict[int, dict[str, Any]]) -> Operation:
    return Operation(
        user="anna",
        kind="list",
        marker=f"r{moment}",
        invoked=moment,
        returned=moment + 0.1,
        status=200,
        headers={"etag": f'"{position}"'},
        answer=orjson.dumps(listed(tasks, "")[0]),
    )


def rules(operations: Iterable[Operation], found: Stored) -> set[str]:
    evidence = Evidence(list(operations), found)
    checks: list[Iterable[Violation]] = [check_answers(evidence), check_writes(evidence), check_order(evidence)]
    return {violation.rule for violation in chain(*checks, check_streams(found), check_projection(found))}


def test_a_right_history_has_no_violation() -> None:
    assert rules(history(STEPS), stored(STEPS)) == set()


def test_unknown_writes_may_have_happened_or_not() -> None:
    operations = history(STEPS)
    operations[2].status = None
    lost = Operation(user="anna", kind="create", marker="w9", body={"title": "w9"}, invoked=1, returned=9)
    assert rules([*operations, lost], stored(STEPS)) == set()


def _dropped(operations: list[Operation]) -> Steps:
    return STEPS[:-1]


def _twice(operations: list[Operation]) -> Steps:
    return [*STEPS, ("w3", "task.created", 3, STEPS[2][3])]


def _refused(operations: list[Operation]) -> Steps:
    operations[4].status, operations[4].answer = 409, b'{"detail":"no"}'
    return STEPS


def _foreign(operations: list[Operation]) -> Steps:
    return [*STEPS, ("nobody's", "task.created", 3, STEPS[2][3])]


def _stale(operations: list[Operation]) -> Steps:
    operations[5].headers, operations[5].answer = operations[3].headers, operations[3].answer
    return STEPS


def _going_back(operations: list[Operation]) -> Steps:
    operations[4].returned = 8.0  # not acknowledged yet, but seen
    again = listing(3.6, 0, {})
    again.headers, again.answer = operations[3].headers, operations[3].answer
    operations.append(again)
    return STEPS


def _future(operations: list[Operation]) -> Steps:
    operations[1].headers, operations[1].answer = operations[9].headers, operations[9].answer
    return STEPS


def _wrong_body(operations: list[Operation]) -> Steps:
    operations[7].answer = operations[5].answer
    return STEPS


def _wrong_answer(operations: list[Operation]) -> Steps:
    operations[2].answer = operations[0].answer
    return STEPS


def _overtaken(operations: list[Operation]) -> Steps:
    return [STEPS[0], STEPS[2], STEPS[1], *STEPS[3:]]


def _lost_toggle(operations: list[Operation]) -> Steps:
    operations[2].status = None
    toggle = Operation(user="anna", kind="toggle", marker="w9", task_id=1, invoked=9, returned=10)
    operations.append(toggle)
    return [*STEPS, ("w9", "task.completed", 1, {})]


def _internal(operations: list[Operation]) -> Steps:
    operations[1].status, operations[1].answer = 500, b'{"detail":"Internal server error"}'
    return STEPS


def _without_retry_after(operations: list[Operation]) -> Steps:
    operations[1].status, operations[1].answer = 503, b'{"detail":"Not now"}'
    return STEPS


def _shapeless(operations: list[Operation]) -> Steps:
    operations[1].status, operations[1].answer = 429, b"slow down"
    return STEPS


def _untrue_404(operations: list[Operation]) -> Steps:
    operations.append(Operation(user="anna", kind="get", marker="g", task_id=1, invoked=4.5, returned=4.6, status=404))
    operations[-1].answer = b'{"detail":"Task 1 not found"}'
    return STEPS


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_dropped, "an acknowledged write is in the ledger"),
        (_twice, "a write happens once"),
        (_refused, "what is refused did not happen"),
        (_foreign, "every event was asked for"),
        (_stale, "no read is stale"),
        (_going_back, "no read is stale"),
        (_future, "no read is from the future"),
        (_wrong_body, "a read is the fold"),
        (_wrong_answer, "an answer is the task after the write"),
        (_overtaken, "a write follows what was known"),
        (_lost_toggle, "an event follows from what was"),
        (_internal, "no 500 ever"),
        (_without_retry_after, "a 503 has Retry-After"),
        (_shapeless, "an error has our shape"),
        (_untrue_404, "a refusal is true"),
    ],
)
def test_each_wrong_history_is_found_by_its_rule(plant: Callable[[list[Operation]], Steps], rule: str) -> None:
    operations = history(STEPS)
    steps = plant(operations)
    found = Stored(streams={"anna": stream(steps)}, heads={}, checkpoints={}, rows={})
    assert rule in rules(operations, found)


def test_a_key_that_was_carried_out_twice_is_found() -> None:
    operations = history(STEPS)
    operations[0].key = operations[4].key = "k"
    assert "a key is carried out once" in rules(operations, stored(STEPS))


def test_a_hole_a_broken_link_and_a_wrong_head_are_found() -> None:
    whole = stored(STEPS)
    holed = Stored(streams={"anna": [*whole.streams["anna"][:2], *whole.streams["anna"][3:]]}, heads=whole.heads,
                   checkpoints=whole.checkpoints, rows=whole.rows)  # fmt: skip
    assert {"positions are dense", "chains verify", "a head is its stream's end"} <= rules([], holed)


def test_a_row_that_was_skipped_or_left_or_changed_is_found() -> None:
    whole = stored(STEPS)
    (row,) = whole.rows.values()
    for rows in ({}, {("anna", 1): row, ("anna", 2): row}, {("anna", 1): {**row, "completed": False}}):
        changed = Stored(streams=whole.streams, heads=whole.heads, checkpoints=whole.checkpoints, rows=rows)
        assert "the projection is its replay" in rules(history(STEPS), changed)


def test_a_checkpoint_behind_its_head_is_found() -> None:
    whole = stored(STEPS)
    behind = Stored(streams=whole.streams, heads=whole.heads, checkpoints={"anna": 4}, rows=whole.rows)
    assert "lag is 0" in rules(history(STEPS), behind)


@pytest.mark.parametrize(
    "line", ['{"traceback":["x"]}', "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "the title Milk user1.7"]
)
def test_what_no_log_may_show_is_found(line: str) -> None:
    assert len(list(check_log(f"fine\n{line}\nfine"))) == 1

"""The checker on histories built by hand: it accepts right ones, and finds each wrong one by its rule.

This file is about answers to writes; order is in test_order.py, stored data in test_storage.py. Seen to fail: without
any one of the rules, and without any one part of a rule's condition.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.by_hand import (
    STEPS,
    Steps,
    everything_right,
    getting,
    history,
    listing,
    operation,
    refusal,
    rules,
    stored,
    stream,
    tasks_at,
)
from tests.chaos.history import Operation

SET = ("set", "task.completed", 1)


def test_a_right_history_has_no_violation() -> None:
    assert rules(history(STEPS), stored(stream(STEPS))) == set()


def test_nothing_that_may_be_is_a_violation() -> None:
    """Repeats under a key, true refusals, lost answers, events that a scenario added."""
    assert rules(*everything_right()) == set()


def test_unknown_writes_may_have_happened_or_not() -> None:
    operations = history(STEPS)
    operations[2].status = None
    lost = operation("create", 1, None, body={"title": "w9"}, returned=9)
    assert rules([*operations, lost], stored(stream(STEPS))) == set()


def _dropped(operations: list[Operation]) -> Steps:
    return STEPS[:-1]


def _dropped_under_a_key(operations: list[Operation]) -> Steps:
    operations[8].key = "k"
    operations.append(operation("delete", 5.6, 200, task_id=2, key="k"))
    return STEPS[:-1]


def _twice(operations: list[Operation]) -> Steps:
    return [*STEPS, ("w3", "task.created", 3, STEPS[2][3])]


def _of_another_kind(operations: list[Operation]) -> Steps:
    operations[2].kind, operations[2].status = "edit", None
    return STEPS


def _on_another_task(operations: list[Operation]) -> Steps:
    operations[2].task_id, operations[2].status = 2, None
    return STEPS


def _with_another_title(operations: list[Operation]) -> Steps:
    operations[6].body, operations[6].status = {"title": "Oat milk"}, None
    return STEPS


def _with_another_description(operations: list[Operation]) -> Steps:
    operations[0].body, operations[0].status = {"title": "Milk w1", "description": "sour"}, None
    return STEPS


def _set_to_the_other(operations: list[Operation]) -> Steps:
    operations[2].kind, operations[2].body, operations[2].status = "set", {"completed": False}, None
    return STEPS


def _refused(operations: list[Operation]) -> Steps:
    operations[4].status, operations[4].answer = 409, b'{"detail":"no"}'
    return STEPS


def _foreign(operations: list[Operation]) -> Steps:
    return [*STEPS, ("nobody's", "task.created", 3, STEPS[2][3])]


def _of_a_read(operations: list[Operation]) -> Steps:
    return [*STEPS, (operations[1].marker, "task.created", 3, STEPS[2][3])]


def _of_another_user(operations: list[Operation]) -> Steps:
    operations[4].user = "bob"
    return STEPS


def _carried_out_twice(operations: list[Operation]) -> Steps:
    operations[0].key = operations[4].key = "k"
    return STEPS


def _wrong_answer(operations: list[Operation]) -> Steps:
    operations[2].answer = operations[0].answer
    return STEPS


def _answer_of_no_version(operations: list[Operation]) -> Steps:
    task = tasks_at(stream(STEPS[:4]))[1]
    no_set = getting(4.3, 8, task)
    no_set.kind, no_set.body = "set", {"completed": True}
    operations.append(no_set)
    return STEPS


def _wrong_version(operations: list[Operation]) -> Steps:
    operations[2].headers = {"etag": '"1"'}
    return STEPS


def _no_version(operations: list[Operation]) -> Steps:
    operations[2].headers = {}
    return STEPS


def _on_a_version_that_was_not_asked_for(operations: list[Operation]) -> Steps:
    operations[6].if_match = 1
    return STEPS


def _deleted_on_a_version_that_was_not_asked_for(operations: list[Operation]) -> Steps:
    operations[8].if_match = 2
    return STEPS


def _left_so_on_a_version_that_was_not_asked_for(operations: list[Operation]) -> Steps:
    no_set = getting(4.3, 3, tasks_at(stream(STEPS[:4]))[1])
    no_set.kind, no_set.body, no_set.if_match = "set", {"completed": True}, 2
    operations.append(no_set)
    return STEPS


def _not_set(operations: list[Operation]) -> Steps:
    operations[2].kind, operations[2].body = "set", {"completed": False}
    return STEPS


def _not_set_and_no_event(operations: list[Operation]) -> Steps:
    no_set = getting(2.3, 2, tasks_at(stream(STEPS[:2]))[1])
    no_set.kind, no_set.body = "set", {"completed": False}
    operations.append(no_set)
    return STEPS


def _toggled_without_an_event(operations: list[Operation]) -> Steps:
    no_toggle = getting(2.3, 2, tasks_at(stream(STEPS[:2]))[1])
    no_toggle.kind = "toggle"
    operations.append(no_toggle)
    return STEPS


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_dropped, "an acknowledged write is in the ledger"),
        (_dropped_under_a_key, "an acknowledged write is in the ledger"),
        (_toggled_without_an_event, "an acknowledged write is in the ledger"),
        (_twice, "a write happens once"),
        (_of_another_kind, "a write happens once"),
        (_on_another_task, "a write happens once"),
        (_with_another_title, "a write happens once"),
        (_with_another_description, "a write happens once"),
        (_set_to_the_other, "a write happens once"),
        (_refused, "what is refused did not happen"),
        (_foreign, "every event was asked for"),
        (_of_a_read, "every event was asked for"),
        (_of_another_user, "every event was asked for"),
        (_carried_out_twice, "a key is carried out once"),
        (_wrong_answer, "an answer is the task after the write"),
        (_answer_of_no_version, "an answer is the task after the write"),
        (_wrong_version, "an answer gives its version"),
        (_no_version, "an answer gives its version"),
        (_on_a_version_that_was_not_asked_for, "If-Match holds"),
        (_deleted_on_a_version_that_was_not_asked_for, "If-Match holds"),
        (_left_so_on_a_version_that_was_not_asked_for, "If-Match holds"),
        (_not_set, "a set sets"),
        (_not_set_and_no_event, "a set sets"),
    ],
)
def test_each_wrong_history_is_found_by_its_rule(plant: Callable[[list[Operation]], Steps], rule: str) -> None:
    operations = history(STEPS)
    steps = plant(operations)
    assert rule in rules(operations, stored(stream(steps)))


@pytest.mark.parametrize(
    ("status", "answer", "headers", "broken"),
    [
        (500, b'{"detail":"Internal server error"}', {}, {"no 500 ever"}),
        (504, b'{"detail":"Gateway timeout"}', {}, {"no 500 ever"}),
        (503, b'{"detail":"Not now"}', {}, {"a 503 has Retry-After"}),
        (503, b'{"detail":"Not now"}', {"retry-after": "soon"}, {"a 503 has Retry-After"}),
        (503, b'{"detail":"Not now"}', {"retry-after": "1"}, set()),
        (400, b"slow down", {}, {"an error has our shape"}),
        (429, b'["slow down"]', {}, {"an error has our shape"}),
        (429, b'{"message":"slow down"}', {}, {"an error has our shape"}),
        (422, b'{"detail":[{"msg":"too long"}]}', {}, {"an error has our shape"}),
        (422, b'{"detail":"too long","message":"too long"}', {}, {"an error has our shape"}),
        (422, b'{"detail":"too long"}', {}, set()),
    ],
)
def test_each_wrong_refusal_is_found_by_its_rule(
    status: int, answer: bytes, headers: dict[str, str], broken: set[str]
) -> None:
    refused = refusal("list", 5.6, status, task_id=None, answer=answer, headers=headers)
    assert rules([*history(STEPS), refused, listing(5.7, 5, tasks_at(stream(STEPS)))], stored(stream(STEPS))) == broken

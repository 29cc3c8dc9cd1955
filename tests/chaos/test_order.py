"""The order check, on histories built by hand: what was known, what was shown, and what was refused.

Seen to fail: without any one of the rules, and without any one part of a rule's condition.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.by_hand import (
    STEPS,
    Steps,
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

Plant = Callable[[list[Operation]], Steps]


def planted(*more: Operation) -> Plant:
    """Return a function that adds wrong operations to right ones."""

    def plant(operations: list[Operation]) -> Steps:
        operations += more
        return STEPS

    return plant


def _stale(operations: list[Operation]) -> Steps:
    operations[5].headers, operations[5].answer = operations[3].headers, operations[3].answer
    return STEPS


def _going_back(operations: list[Operation]) -> Steps:
    operations[4].returned = 8.0  # not acknowledged yet, but already visible
    return planted(listing(3.6, 2, tasks(2)))(operations)


def _future(operations: list[Operation]) -> Steps:
    operations[1].headers, operations[1].answer = operations[9].headers, operations[9].answer
    return STEPS


def _wrong_list(operations: list[Operation]) -> Steps:
    operations[7].answer = operations[5].answer
    return STEPS


def _wrong_total(operations: list[Operation]) -> Steps:
    operations[7].headers["x-total-count"] = "1"
    return STEPS


def _of_no_position(operations: list[Operation]) -> Steps:
    del operations[7].headers["etag"]
    return STEPS


def _overtaken(operations: list[Operation]) -> Steps:
    return [STEPS[0], STEPS[2], STEPS[1], *STEPS[3:]]


def tasks(position: int) -> dict[int, dict[str, object]]:
    return tasks_at(stream(STEPS[:position]))


def task(position: int, task_id: int = 1) -> dict[str, object]:
    return tasks(position)[task_id]


def no_set(moment: float, version: int, position: int) -> Operation:
    """Return a set of what already holds, on a task as it was at a position."""
    made = getting(moment, version, task(position))
    made.kind, made.body = "set", {"completed": True}
    return made


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_stale, "no read is stale"),
        (_going_back, "no read is stale"),
        (_of_no_position, "no read is stale"),
        (planted(operation("list", 3.6, 304, headers={"etag": '"2-mark"'})), "no read is stale"),
        (planted(getting(2.3, 1, task(1))), "no read is stale"),
        (planted(operation("get", 2.3, 200, task_id=1, answer=b"{}")), "no read is stale"),
        (planted(getting(9, 2, task(2))), "no read is stale"),
        (planted(no_set(9, 2, 2)), "no read is stale"),
        (_future, "no read is from the future"),
        (planted(getting(1.3, 2, task(2))), "no read is from the future"),
        (planted(no_set(1.3, 2, 2)), "no read is from the future"),
        (planted(listing(0.5, 1, tasks(1))), "no read is from the future"),
        (_wrong_list, "a read is the fold"),
        (_wrong_total, "a read is the fold"),
        (planted(listing(4.7, 4, tasks(3))), "a read is the fold"),
        (planted(operation("list", 0.5, 200, answer=b'[{"id":1}]')), "a read is the fold"),
        (planted(getting(1.3, 1, task(2))), "a read is the fold"),
        (planted(getting(9, 7, task(4))), "a read is the fold"),
        (_overtaken, "a write follows what was known"),
        (planted(listing(2.9, 3, tasks(3))), "a write follows what was known"),
        (planted(refusal("get", 1.3, 404)), "a refusal is true"),
        (planted(refusal("get", 4.5, 404, task_id=2)), "a refusal is true"),
        (planted(refusal("delete", 4.5, 404)), "a refusal is true"),
        (planted(refusal("edit", 1.3, 412, if_match=1)), "a refusal is true"),
        (planted(refusal("edit", 2.3, 412, if_match=2, returned=3.1)), "a refusal is true"),
        (planted(refusal("edit", 2.3, 412)), "a refusal is true"),
        (planted(refusal("create", 2.3, 404, task_id=None)), "a refusal is true"),
    ],
)
def test_each_wrong_history_is_found_by_its_rule(plant: Plant, rule: str) -> None:
    operations = history(STEPS)
    steps = plant(operations)
    assert rule in rules(operations, stored(stream(steps)))

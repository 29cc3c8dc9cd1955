"""The check of streams, on events built by hand: each change told once, in order, none missed, and the right tasks.

Seen to fail: without any one of the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tests.chaos.by_hand import STEPS, stream, tasks_at
from tests.chaos.fold import contract_fields
from tests.chaos.listening import Told
from tests.chaos.told import History, check_refused, check_told

STREAM = stream(STEPS)


def told(position: int, *ids: int, deleted: Sequence[int] = (), **other: Any) -> Told:
    """Return an event that tells tasks as they are at a position."""
    tasks = [contract_fields(tasks_at(STREAM[:position])[task_id]) for task_id in ids]
    given: dict[str, Any] = {"begun": 0.0, "anew": False, "more": False, "tasks": tasks, "deleted": deleted} | other
    return Told(position=position, **given)


RIGHT = [told(1, 1, anew=True), told(3, 1, 2), told(3), told(5, 1, deleted=[2])]


def broken(events: Sequence[Told], *histories: History) -> list[str]:
    return [found.rule for found in check_told("anna", events, histories or [History(math.inf, STREAM)])]


def test_right_events_are_right_however_they_are_cut() -> None:
    assert broken(RIGHT) == []
    assert broken([told(5, 1, anew=True)]) == []
    assert broken([told(3, 1, anew=True, more=True), told(3, 2), told(5, 1, deleted=[2])]) == []
    assert broken([*RIGHT, told(5, 1, anew=True)]) == []


WRONG = {
    "a change is told once": [
        [told(1, 1, anew=True), told(3, 1, 2), told(5, 1, deleted=[2]), told(5, 1)],
        [told(1, 1, anew=True), told(3, 1, 2, 2), told(5, 1, deleted=[2])],
        [told(2, 1, anew=True), told(5, 1, deleted=[2])],
    ],
    "no change is missed": [
        [told(1, 1, anew=True), told(3, 1), told(5, 1, deleted=[2])],
        [told(1, 1, anew=True), told(3, 1, 2), told(5, 1)],
    ],
    "changes come in order": [
        [told(3, 1, 2, anew=True), told(1)],
        [told(5, 1, anew=True), told(6)],
    ],
    "a replica is the list": [
        [told(1, 1, anew=True), told(3, 1, 2), told(5, deleted=[2], tasks=[contract_fields(tasks_at(STREAM[:3])[1])])],
        [told(3, 1, anew=True, more=True), told(3)],
    ],
    "a listener is told everything": [[told(1, 1, anew=True), told(3, 1, 2)], []],
}


@pytest.mark.parametrize(("rule", "number"), [(rule, n) for rule, cases in WRONG.items() for n in range(len(cases))])
def test_a_wrong_event_is_found(rule: str, number: int) -> None:
    assert rule in broken(WRONG[rule][number])


def test_after_a_loss_events_are_compared_with_what_is_there_then() -> None:
    kept = stream([*STEPS[:2], ("w9", "task.edited", 1, {"title": "Milk w9"})])
    tasks = [contract_fields(tasks_at(kept)[1])]
    before, after = (told(3, anew=True, begun=begun, tasks=tasks) for begun in (9.0, 11.0))
    histories = History(10.0, STREAM), History(math.inf, kept)
    assert broken([*RIGHT, after], *histories) == []
    assert "a replica is the list" in broken([*RIGHT, before], *histories)


@pytest.mark.parametrize(
    ("refused", "losses", "found"),
    [
        ([], [], 0),
        ([5.0], [4.0], 0),
        ([5.0], [6.0], 1),
        ([5.0], [], 1),
        ([5.0, 6.0], [4.0], 1),
        ([5.0, 9.0], [4.0, 8.0], 0),
    ],
)
def test_a_token_is_unknown_once_after_each_loss(refused: list[float], losses: list[float], found: int) -> None:
    assert len(list(check_refused("anna", refused, losses))) == found

"""Tests of the checker's own fold, on which all checks depend: the expected values are written out."""

from __future__ import annotations

import pytest

from tests.chaos.by_hand import STEPS, stream, tasks_at
from tests.chaos.fold import TaskObject, contract_fields, listed, title_key

MILK = {
    "id": 1,
    "user_id": "anna",
    "title": "Milk w4",
    "description": None,
    "completed": True,
    "created_at": "2026-01-01T00:00:01Z",
    "updated_at": "2026-01-01T00:00:04Z",
    "priority": "medium",
    "due_date": None,
    "tags": [],
    "category": None,
    "completed_at": "2026-01-01T00:00:02Z",
    "is_completed": True,
    "status": "completed",
}


def test_events_give_tasks() -> None:
    assert tasks_at(stream(STEPS)) == {1: {**MILK, "version": 3, "created_position": 1}}


def test_a_restored_task_is_as_it_was() -> None:
    steps = [*STEPS, ("w6", "task.deleted", 1, {}), ("w7", "task.restored", 1, {})]
    later = {"version": 5, "created_position": 1, "updated_at": "2026-01-01T00:00:07Z"}
    assert tasks_at(stream(steps)) == {1: MILK | later}


def test_a_task_is_reopened_described_and_cleared() -> None:
    steps = [*STEPS, ("w6", "task.reopened", 1, {}), ("w7", "task.edited", 1, {"description": "two litres"})]
    task = tasks_at(stream(steps))[1]
    assert (task["completed"], task["title"], task["description"], task["version"]) == (
        False,
        "Milk w4",
        "two litres",
        5,
    )
    cleared = tasks_at(stream([*steps, ("w8", "task.edited", 1, {"description": None})]))[1]
    assert (cleared["description"], cleared["updated_at"]) == (None, "2026-01-01T00:00:08Z")


def test_an_answer_has_the_fields_of_the_contract() -> None:
    assert contract_fields(tasks_at(stream(STEPS))[1]) == MILK


@pytest.mark.parametrize(
    ("title", "key"),
    [("Milk", "milk"), ("STRASSE", "strasse"), ("Straße", "strasse"), ("ﬁne", "fine"), ("x" * 300, "x" * 200)],
)
def test_titles_are_compared_as_a_person_does(title: str, key: str) -> None:
    assert title_key(title) == key


@pytest.mark.parametrize(
    ("query", "page", "total"),
    [
        ("", [3, 2, 4, 1], 4),
        ("?status=all", [3, 2, 4, 1], 4),
        ("?status=pending", [2, 4, 1], 3),
        ("?status=completed", [3], 1),
        ("?sort=created&limit=2", [3, 2], 4),
        ("?sort=title", [4, 1, 2, 3], 4),
        ("?sort=title&limit=3", [4, 1, 2], 4),
        ("?limit=9", [3, 2, 4, 1], 4),
        ("?search=MILK", [2, 1], 2),
        ("?search=work+zebra", [3], 1),
        ("?priority=p1", [4], 1),
        ("?category=WORK&status=completed", [3], 1),
        ("?tags=home&tags=strasse", [2], 1),
        ("?tags=HOME&limit=1", [2], 2),
        ("?due_after=2026-03-01&due_before=2026-03-01T14:30:00Z", [4], 1),
        ("?sort=due", [4, 2, 1, 3], 4),
        ("?sort=due&order=desc", [2, 4, 3, 1], 4),
        ("?sort=priority", [4, 3, 2, 1], 4),
        ("?sort=priority&order=asc&limit=3", [1, 2, 3], 4),
        ("?sort=updated", [1, 4, 3, 2], 4),
    ],
)
def test_a_list_is_as_its_query_says(query: str, page: list[int], total: int) -> None:
    """By title, equal titles by id; otherwise newest first, whatever the ids."""
    given: dict[int, TaskObject] = {
        1: {"title": "milk", "created_position": 1, "updated_at": "2026-01-01T00:00:09Z", "tags": ["home"]},
        4: {"title": "Apple", "created_position": 2, "priority": "High", "due_date": "2026-03-01"},
        2: {"title": "Milk", "created_position": 3, "due_date": "2026-03-01T14:30:00Z", "tags": ["Home", "Straße"]},
        3: {"title": "zebra", "created_position": 4, "category": "Work", "completed": True},
    }
    others = {"updated_at": "2026-01-01T00:00:01.5Z", "version": 1}
    tasks = {number: MILK | others | {"id": number, "completed": False} | task for number, task in given.items()}
    found, count = listed(tasks, query)
    assert ([task["id"] for task in found], count) == (page, total)

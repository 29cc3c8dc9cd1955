"""The checks of what is stored: each fault is found by its own rule, and by no other.

Seen to fail: without any one of the rules, and with any field left out of the hash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.by_hand import START, STEPS, Steps, linked, rules, stored, stream
from tests.chaos.fold import Event
from tests.chaos.ledger import Stored
from tests.chaos.storage import _link, check_projection, check_streams

RIGHT = stream(STEPS)
MILK = {"title": "Milk", "description": None}


def holding(events: list[Event], **more: Any) -> Stored:
    """Return what is stored for one stream, with the right head."""
    return Stored(
        streams={"anna": events}, heads={"anna": (len(events), events[-1].hash)}, checkpoints={}, rows={}, **more
    )


def of_streams(found: Stored) -> set[str]:
    return {violation.rule for violation in check_streams(found)}


def of_projection(found: Stored) -> set[str]:
    return {violation.rule for violation in check_projection(found)}


def test_what_is_right_has_no_violation() -> None:
    assert rules([], replace(stored(RIGHT), parked=frozenset(["anna"]))) <= {"every event was asked for"}
    assert of_streams(stored(RIGHT)) | of_projection(stored(RIGHT)) == set()


def test_the_link_is_the_one_of_the_auditors_example() -> None:
    """docs/audit.md computes the same hash with nothing but a shell."""
    metadata = (
        '{"actor":"alice","nonce":"21f045a9fea7267a921b4f4f121fd7e1","request_id":"8511674d9c723304e83564e0f785e1b7"}'
    )
    data = '{"description":null,"title":"Buy milk"}'
    at = datetime(2026, 11, 23, 6, 17, 53, 346505, tzinfo=UTC)
    event_id = "01a2070d-c7b1-7824-aaf8-77233b4d4894"
    event = Event("alice", 1, 1, 1, event_id, "task.created", 2, {}, data, metadata, "", at, "")
    assert _link("0" * 64, event) == "ac82dd3f835109f45b933fdf2776512830217ae784b69e509474df096ef0e99e"


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "bob"),
        ("event_id", "other"),
        ("schema_version", 2),
        ("data_text", "{ }"),
        ("metadata_text", "{ }"),
        ("recorded_at", START + timedelta(seconds=1, microseconds=1)),
        ("hash", "f" * 64),
    ],
)
def test_a_change_that_its_hash_does_not_know_of_is_found(place: int, field: str, value: Any) -> None:
    events = [*RIGHT]
    events[place] = events[place]._replace(**{field: value})
    assert "chains verify" in of_streams(holding(events))


@pytest.mark.parametrize("positions", [[1, 2, 4, 5, 6], [2, 3, 4, 5, 6], [1, 2, 3, 4, 4], [2, 1, 3, 4, 5]], ids=repr)
def test_a_hole_and_a_disorder_are_found(positions: list[int]) -> None:
    events = [event._replace(position=position) for event, position in zip(RIGHT, positions, strict=True)]
    assert of_streams(holding(linked(events))) == {"positions are dense"}


@pytest.mark.parametrize("head", [None, (4, RIGHT[-1].hash), (5, RIGHT[-2].hash), (4, RIGHT[-2].hash), (6, "0" * 64)])
def test_a_wrong_head_is_found(head: tuple[int, str] | None) -> None:
    heads = {} if head is None else {"anna": head}
    assert of_streams(replace(stored(RIGHT), heads=heads)) == {"a head is its stream's end"}


def test_a_cut_stream_is_found_by_its_head() -> None:
    assert of_streams(replace(stored(RIGHT), streams={"anna": RIGHT[:4]})) == {"a head is its stream's end"}


def test_a_time_that_runs_back_is_found_and_one_that_stands_still_is_not() -> None:
    for moved, broken in ((0, set()), (1, {"recorded times never run back"})):
        at = RIGHT[2].recorded_at - timedelta(microseconds=moved)
        events = linked([*RIGHT[:3], RIGHT[3]._replace(recorded_at=at), RIGHT[4]])
        assert of_streams(holding(events)) == broken


@pytest.mark.parametrize(
    "steps",
    [
        [*STEPS, ("w6", "task.completed", 1, {})],
        [STEPS[0], ("w2", "task.reopened", 1, {})],
        [*STEPS, ("w6", "task.created", 1, MILK)],
        [*STEPS, ("w6", "task.edited", 2, {"title": "Oat milk"})],
        [*STEPS, ("w6", "task.deleted", 7, {})],
        [*STEPS, ("w6", "task.exploded", 1, {})],
    ],
    ids=[
        "completed twice",
        "reopened when open",
        "created twice",
        "edited when gone",
        "deleted from nowhere",
        "unknown",
    ],
)
def test_an_event_that_could_not_happen_is_found_but_for_users_whom_it_parks(steps: Steps) -> None:
    assert of_streams(holding(stream(steps))) == {"an event follows from what was"}
    assert of_streams(holding(stream(steps), parked=frozenset(["anna"]))) == set()


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("place", [0, 1])
def test_a_version_that_does_not_follow_is_found(place: int, version: int) -> None:
    events = [*RIGHT[:2]]
    events[place] = events[place]._replace(version=version)
    right = version == 1 and place == 0
    assert of_streams(holding(linked(events))) == (set() if right else {"an event follows from what was"})


def test_a_task_that_begins_twice_is_found() -> None:
    events = [*RIGHT, RIGHT[0]._replace(position=6, recorded_at=RIGHT[4].recorded_at)]
    assert of_streams(holding(linked(events))) == {"an event follows from what was"}


@pytest.mark.parametrize(("checkpoints", "there"), [({"anna": 4}, 4), ({"anna": 6}, 5), ({}, 0)], ids=repr)
def test_a_checkpoint_that_is_not_at_its_head_is_found_but_for_parked_users(
    checkpoints: dict[str, int], there: int
) -> None:
    rows = stored(RIGHT[:there]).rows if there else {}
    found = replace(stored(RIGHT), checkpoints=checkpoints, rows=rows)
    assert of_projection(found) == {"lag is 0"}
    assert of_projection(replace(found, parked=frozenset(["anna"]))) == set()


def _of_rows(change: Callable[[dict[str, Any]], dict[tuple[str, int], dict[str, Any]]]) -> set[str]:
    whole = stored(RIGHT)
    (row,) = whole.rows.values()
    return of_projection(replace(whole, rows=change(row)))


def test_a_row_that_was_skipped_or_left_over_is_found() -> None:
    assert _of_rows(lambda row: {("anna", 1): row}) == set()
    assert _of_rows(lambda row: {}) == {"the projection is its replay"}
    assert _of_rows(lambda row: {("anna", 1): row, ("anna", 2): row}) == {"the projection is its replay"}
    assert _of_rows(lambda row: {("anna", 1): row, ("bob", 1): row}) == {"the projection is its replay"}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", 2),
        ("user_id", "bob"),
        ("title", "Oat milk"),
        ("description", "two litres"),
        ("completed", False),
        ("created_at", START),
        ("updated_at", START),
        ("version", 2),
        ("created_position", 2),
        ("title_key", "MILK W4"),
        ("body", "{}"),
        ("body", '{"id":1}'),
    ],
)
def test_a_row_that_is_not_what_the_ledger_folds_to_is_found(column: str, value: Any) -> None:
    assert _of_rows(lambda row: {("anna", 1): {**row, column: value}}) == {"the projection is its replay"}

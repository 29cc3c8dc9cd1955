"""Stored events must stay readable for ever: names, schema versions and JSON texts are written out here."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import (
    TaskAdopted,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskReopened,
    TaskRestored,
)
from domain.fields import UNSET
from event_log.codec import UnreadableEventError, canonical_json, decode, encode

ADOPTED = '"description":null,"title":"Milk","updated_at":"2025-06-07T12:00:00Z"'
NOON = datetime(2025, 6, 7, 12, tzinfo=UTC)
STORED: list[tuple[TaskEvent, str, int, str]] = [
    (TaskCreated(title="Milk", description=None), "task.created", 2, '{"description":null,"title":"Milk"}'),
    (TaskCreated(title="Ä😀", description='"\n'), "task.created", 2, '{"description":"\\"\\n","title":"Ä😀"}'),
    (
        TaskCreated(title="Milk", due_date="2026-02-07"),
        "task.created",
        3,
        '{"description":null,"due_date":"2026-02-07","title":"Milk"}',
    ),
    (
        TaskCreated(title="Milk", priority="HIGH", tags=("home", "b c"), category="Errands"),
        "task.created",
        3,
        '{"category":"Errands","description":null,"priority":"HIGH","tags":["home","b c"],"title":"Milk"}',
    ),
    (TaskCreated(title="Milk", priority="medium"), "task.created", 2, '{"description":null,"title":"Milk"}'),
    (
        TaskEdited(priority="medium", tags=(), category=None),
        "task.edited",
        2,
        '{"category":null,"priority":"medium","tags":[]}',
    ),
    (TaskEdited(title="Oat", due_date=None), "task.edited", 2, '{"due_date":null,"title":"Oat"}'),
    (TaskEdited(title="Oat"), "task.edited", 1, '{"title":"Oat"}'),
    (TaskEdited(description=None), "task.edited", 1, '{"description":null}'),
    (TaskEdited(title="Oat", description="one"), "task.edited", 1, '{"description":"one","title":"Oat"}'),
    (
        TaskAdopted(title="Milk", created_at=datetime(2025, 1, 2, 3, 4, 5, 600, UTC), updated_at=NOON),
        "task.adopted",
        1,
        f'{{"created_at":"2025-01-02T03:04:05.000600Z",{ADOPTED}}}',
    ),
    (
        TaskAdopted(
            title="Milk",
            description="",
            due_date="2026-02-07",
            priority="HIGH",
            tags=("home",),
            category="Errands",
            completed_at=NOON,
            created_at=NOON,
            updated_at=NOON,
        ),
        "task.adopted",
        1,
        """{"category":"Errands","completed_at":"2025-06-07T12:00:00Z","created_at":"2025-06-07T12:00:00Z",\
"description":"","due_date":"2026-02-07","priority":"HIGH","tags":["home"],"title":"Milk",\
"updated_at":"2025-06-07T12:00:00Z"}""",
    ),
    (TaskCompleted(), "task.completed", 1, "{}"),
    (TaskReopened(), "task.reopened", 1, "{}"),
    (TaskDeleted(), "task.deleted", 1, "{}"),
    (TaskRestored(), "task.restored", 1, "{}"),
]


@pytest.mark.parametrize(("event", "name", "schema_version", "data"), STORED)
def test_an_event_is_stored_as_it_always_was(event: TaskEvent, name: str, schema_version: int, data: str) -> None:
    """Renaming a class or a field, or reordering the fields, would change what is stored and hashed."""
    assert encode(event) == (name, schema_version, data)


@pytest.mark.parametrize(("event", "name", "schema_version", "data"), STORED)
def test_what_was_stored_is_still_read(event: TaskEvent, name: str, schema_version: int, data: str) -> None:
    assert decode(name, schema_version, data) == event


def test_a_created_task_of_schema_version_1_had_no_description() -> None:
    assert decode("task.created", 1, '{"title":"Milk"}') == TaskCreated(title="Milk", description=None)


moments = st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - a zone is added
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
events = st.one_of(
    st.builds(TaskCreated, title=texts, description=st.none() | texts, due_date=st.none() | texts),
    st.builds(
        TaskEdited,
        title=texts | st.just(UNSET),
        description=st.none() | texts | st.just(UNSET),
        due_date=st.none() | texts | st.just(UNSET),
        priority=texts | st.just(UNSET),
        tags=st.lists(texts).map(tuple) | st.just(UNSET),
    ),
    st.builds(
        TaskAdopted,
        title=texts,
        description=st.none() | texts,
        completed_at=st.none() | moments,
        created_at=moments,
        updated_at=moments,
    ),
    st.sampled_from([TaskCompleted(), TaskReopened(), TaskDeleted(), TaskRestored()]),
)


@given(events)
def test_every_event_comes_back_as_it_was(event: TaskEvent) -> None:
    assert decode(*encode(event)) == event


@pytest.mark.parametrize(
    ("name", "schema_version"),
    [("task.renamed", 1), ("TaskCreated", 1), ("", 1), ("task.created", 4), ("task.created", 0), ("task.edited", 3)],
)
def test_an_event_of_another_time_is_unreadable_and_not_guessed_at(name: str, schema_version: int) -> None:
    with pytest.raises(UnreadableEventError):
        decode(name, schema_version, '{"title":"Milk","description":null}')


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("task.created", "{}"),
        ("task.created", '{"title":"Milk"}'),
        ("task.created", '{"title":"Milk","description":null,"priority":1}'),
        ("task.created", '{"title":"Milk","description":null,"due_date":"2026-02-07"}'),
        ("task.created", '{"title":"Milk","description":null,"tags":[]}'),
        ("task.created", '{"title":5,"description":null}'),
        ("task.created", '{"title":null,"description":null}'),
        ("task.created", '{"title":"Milk","description":["one"]}'),
        ("task.created", '{"title":"Milk"'),
        ("task.created", '["Milk",null]'),
        ("task.created", "null"),
        ("task.adopted", '{"title":"Milk","description":null}'),
        ("task.adopted", f'{{"created_at":null,{ADOPTED}}}'),
        ("task.adopted", f'{{"created_at":5,{ADOPTED}}}'),
        ("task.adopted", f'{{"created_at":"2025-06-07T12:00:00",{ADOPTED}}}'),
        ("task.adopted", f'{{"created_at":"2025-06-07T12:00:00+02:00",{ADOPTED}}}'),
        ("task.adopted", f'{{"completed_at":"noon","created_at":"2025-06-07T12:00:00Z",{ADOPTED}}}'),
        ("task.edited", '{"title":null}'),
        ("task.edited", '{"title":true}'),
        ("task.edited", '{"completed":true}'),
        ("task.completed", '{"completed":true}'),
        ("task.deleted", "0"),
    ],
)
def test_data_that_do_not_fit_are_unreadable(name: str, data: str) -> None:
    """A value of a wrong type must be refused here: it would break the projector later, and with it every user."""
    with pytest.raises(UnreadableEventError):
        decode(name, 2 if name == "task.created" else 1, data)


@pytest.mark.parametrize(
    "data", ['{"tags":"home"}', '{"tags":["home",1]}', '{"tags":null}', '{"priority":null}', '{"category":["x"]}']
)
def test_labels_of_other_kinds_are_unreadable(data: str) -> None:
    with pytest.raises(UnreadableEventError):
        decode("task.edited", 2, data)


def test_an_error_about_data_does_not_repeat_them() -> None:
    with pytest.raises(UnreadableEventError) as raised:
        decode("task.created", 2, '{"title":"a secret","description":7}')
    assert "secret" not in str(raised.value)


def test_the_json_that_is_hashed_has_one_spelling() -> None:
    assert canonical_json({"b": 1, "a": {"d": "é", "c": None}}) == '{"a":{"c":null,"d":"é"},"b":1}'

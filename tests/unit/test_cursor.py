from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.task import title_key
from read_api.cursor import Cursor, CursorError, decode, encode, filters_digest
from read_model.filters import Filters

numbers = st.integers(min_value=1, max_value=2**63 - 1)
statuses = st.sampled_from(["all", "pending", "completed"])
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200).map(title_key)


def packed(*fields: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(fields)).rstrip(b"=").decode()


@given(status=statuses, key=numbers, number=numbers)
def test_a_cursor_by_creation_comes_back_as_it_was(status: Any, key: int, number: int) -> None:
    cursor = Cursor(sort="created", status=status, key=key, id=number)
    assert decode(encode(cursor)) == cursor


@given(status=statuses, key=keys, number=numbers)
def test_a_cursor_by_any_title_comes_back_as_it_was(status: Any, key: str, number: int) -> None:
    cursor = Cursor(sort="title", status=status, key=key, id=number)
    assert decode(encode(cursor)) == cursor


@given(status=statuses, key=numbers, number=numbers, as_of=numbers)
def test_a_cursor_of_the_past_comes_back_as_it_was(status: Any, key: int, number: int, as_of: int) -> None:
    cursor = Cursor(sort="created", status=status, key=key, id=number, as_of=as_of)
    assert decode(encode(cursor)) == cursor


@given(
    status=statuses,
    key=st.integers(-(2**63) + 1, 2**63 - 1),
    time=st.datetimes(timezones=st.just(UTC)),
    number=numbers,
    as_of=st.none() | numbers,
)
def test_a_cursor_of_a_list_with_filters_comes_back_as_it_was(
    status: Any, key: int, time: datetime, number: int, as_of: int | None
) -> None:
    filters = filters_digest(Filters(words=("milk",)))
    assert filters
    updated = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    for sort, its in (("due", key), ("-due", key), ("updated", updated), ("-updated", updated)):
        cursor = Cursor(sort=sort, status=status, key=its, id=number, as_of=as_of, filters=filters)
        assert decode(encode(cursor)) == cursor


def test_cursors_of_lists_with_different_filters_differ() -> None:
    made = [Filters(), Filters(words=("a",)), Filters(lines=("a",)), Filters(due_after=1), Filters(due_before=1)]
    assert len({filters_digest(filters) for filters in made}) == 5


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with contextlib.suppress(CursorError):
        assert encode(decode(text)) == text


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(), statuses), max_size=5))
def test_any_packed_fields_are_a_cursor_or_refused(fields: list[Any]) -> None:
    with contextlib.suppress(CursorError):
        decode(packed(*fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "a" * 5000,
        encode(Cursor(sort="created", status="all", key=1, id=1)) + "=",
        encode(Cursor(sort="created", status="all", key=1, id=1)) + "A",
        base64.urlsafe_b64encode(b'["created", "all", 1, 1]').decode(),
        packed("created", "all", 1),
        packed("created", "all", 1, 1, 0),
        packed("created", "all", 1, 1, True),
        packed("created", "all", 1, 1, "1"),
        packed("created", "all", 1, 1, None),
        packed("created", "all", 1, 1, 2**63),
        packed("created", "all", 1, 1, 1, 1),
        packed("created", "done", 1, 1),
        packed("id", "all", 1, 1),
        packed("created", "all", "1", 1),
        packed("created", "all", True, 1),
        packed("created", "all", 1, True),
        packed("created", "all", 0, 1),
        packed("created", "all", 1, 0),
        packed("created", "all", 1, -1),
        packed("created", "all", 1, 2**63),
        packed("created", "all", 2**63, 1),
        packed("created", "all", 1.5, 1),
        packed("title", "all", 1, 1),
        packed("title", "all", None, 1),
        packed("title", "all", "a\0b", 1),
        packed("title", "all", "a" * 201, 1),
        packed("due", "all", 2**63, 1),
        packed("updated", "all", 2**63 - 1, 1),
        packed("-updated", "all", -(2**62), 1),
        packed("priority", "all", 5, 1),
        packed("priority", "all", True, 1),
        packed("created", "all", 1, 1, None, ""),
        packed("created", "all", 1, 1, None, 7),
        packed("created", "all", 1, 1, None, "0", "0"),
    ],
)
def test_what_the_database_could_not_take_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorError):
        decode(text)

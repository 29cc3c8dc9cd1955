"""Bookmarks as text. Seen to fail: a text that another version wrote was read, once the form was not compared."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from read_model.bookmark import Bookmark, UnknownBookmarkError, bookmark_after_write, read_bookmark

HASH = "0123456789abcdef" * 4

ids = st.integers(1, 2**63 - 1)
bookmarks = st.builds(
    Bookmark,
    position=st.integers(0, 2**62),
    hash_prefix=st.sampled_from(["", HASH[:12]]),
    repair=st.sampled_from([None, "", "64a0b1c2d3e4f"]),
    after=st.none() | st.tuples(ids, ids),
)


def text_of(fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).rstrip(b"=").decode()


def fields_of(bookmark: Bookmark) -> Any:
    text = str(bookmark)
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@given(bookmarks)
def test_a_bookmark_is_read_as_it_was_written_from_text_that_needs_no_escape(bookmark: Bookmark) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", str(bookmark))
    assert read_bookmark(str(bookmark)) == bookmark


@given(st.text() | st.text("ABCdef012_-", max_size=80))
def test_no_other_text_is_a_bookmark(text: str) -> None:
    with pytest.raises(UnknownBookmarkError):
        read_bookmark(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, "form of another version"),
        (1, -1),
        (1, 2**63 - 1),
        (1, 2**63),
        (1, True),
        (1, "1"),
        (2, None),
        (3, 1),
        (4, 0),
        (5, 2**63),
    ],
)
def test_a_bookmark_with_another_value_in_a_field_is_unknown(field: int, value: Any) -> None:
    fields = fields_of(Bookmark(position=1, hash_prefix=HASH[:12], after=(3, 7)))
    fields[field] = value
    with pytest.raises(UnknownBookmarkError):
        read_bookmark(text_of(fields))


def test_a_bookmark_belongs_to_one_history_and_its_rows() -> None:
    bookmark = Bookmark(position=7, hash_prefix=HASH[:12], repair="64a0")
    assert bookmark.is_of(HASH[:12], "64a0")
    assert not bookmark.is_of(HASH[12:24], "64a0")
    assert not bookmark.is_of(None, "64a0")
    assert not bookmark.is_of(HASH[:12], "")
    assert Bookmark(position=0, hash_prefix="").is_of(None, "")


def test_the_bookmark_of_a_write_is_of_the_events_hash_whatever_was_repaired() -> None:
    bookmark = read_bookmark(bookmark_after_write(7, HASH))
    assert bookmark.position == 7
    assert bookmark.is_of(HASH[:12], "64a0")
    assert not bookmark.is_of(HASH[12:24], "")
    assert read_bookmark(bookmark_after_write(0, "0" * 64)).is_of(None, "")

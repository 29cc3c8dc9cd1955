"""What a field may hold: the rules that bodies of requests and lines of imports are held to."""

from __future__ import annotations

import pytest

from domain.fields import FIELDS, RULES


@pytest.mark.parametrize(
    ("title", "fits"),
    [("Milk", True), ("x" * 200, True), ("x" * 201, False), ("", False), (" \n", False), (None, False), (7, False)],
)
def test_a_title_has_1_to_200_characters_and_is_not_blank(title: object, fits: bool) -> None:
    assert RULES["title"](title) is fits


def test_rules_are_of_fields() -> None:
    assert set(RULES) <= set(FIELDS)

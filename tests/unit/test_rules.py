"""What a field may hold: the rules that bodies of requests and lines of imports are held to."""

from __future__ import annotations

import pytest

from domain.due_date import due_date, is_date, microseconds, moment_of
from domain.fields import FIELDS, RULES, Fields, field_getter
from domain.labels import priority_key, rank, tags_of


@pytest.mark.parametrize(
    ("title", "fits"),
    [("Milk", True), ("x" * 200, True), ("x" * 201, False), ("", False), (" \n", False), (None, False), (7, False)],
)
def test_a_title_has_1_to_200_characters_and_is_not_blank(title: object, fits: bool) -> None:
    assert RULES["title"](title) is fits


def test_rules_are_of_fields() -> None:
    assert set(RULES) <= set(FIELDS)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T14:30", "2026-03-01T14:30"),
        ("2026-03-01 14:30:15", "2026-03-01 14:30:15"),
        ("2026-03-01T14:30:15.25", "2026-03-01T14:30:15.25"),
        ("2026-03-01T14:30:00.000Z", "2026-03-01T14:30:00.000Z"),
        ("2026-03-01t14:30z", "2026-03-01T14:30:00Z"),
        ("2026-03-01T00:30+0530", "2026-02-28T19:00:00Z"),
        ("2026-03-01T14:30:15.1234567-05", "2026-03-01T19:30:15.123456Z"),
    ],
)
def test_a_due_date_is_kept_in_its_form_and_with_a_zone_in_utc(given: str, kept: str) -> None:
    assert due_date(given) == kept
    assert due_date(kept) == kept
    assert RULES["due_date"](kept)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-3-1",
        "20260301",
        "2026-02-30",
        "2026-03-01T",
        "2026-03-01T24:00",
        "2026-03-01T14:60",
        "2026-03-01T14:30.5",
        "2026-03-01T14:30+99:00",
        "0000-01-01",
        "0001-01-01T00:00+14:00",
        "\N{FULLWIDTH DIGIT NINE}999-01-01",
    ],
)
def test_what_is_no_date_or_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it carries no message, the edge has one
        due_date(text)
    assert not RULES["due_date"](text)


@pytest.mark.parametrize(
    ("value", "fits"), [(None, True), (7, False), ("2026-03-01T14:30:00+00:00", False), ("2026-03-01T14:30Z", False)]
)
def test_a_kept_due_date_is_in_the_form_that_is_kept(value: object, fits: bool) -> None:
    assert RULES["due_date"](value) is fits


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:00", 0),
        ("1970-01-01T01:00+01:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_a_time_without_a_zone_is_utc_and_a_date_its_first_moment(text: str, moment: int) -> None:
    assert microseconds(moment_of(text)) == moment


def test_a_day_is_told_from_a_time() -> None:
    assert (is_date("2026-03-01"), is_date("2026-03-01T14:30")) == (True, False)


@pytest.mark.parametrize(
    ("priority", "its_rank"),
    [
        *(("LOW", 1), ("p3", 1), ("Medium", 2), ("P2", 2), ("high", 3), ("P1", 3), (" Urgent ", 4), ("critical", 4)),
        *(("none", 0), ("normal", 0), ("", 0), ("p4", 0)),
    ],
)
def test_priorities_are_ranked_by_meaning(priority: str, its_rank: int) -> None:
    assert rank(priority) == its_rank


def test_words_of_one_rank_are_found_alike_and_others_by_their_text() -> None:
    assert priority_key("P1") == priority_key("high") != priority_key("urgent")
    assert priority_key("Some  Day") == "some day"


def test_tags_are_trimmed_without_repeats_and_the_first_spelling_stays() -> None:
    assert tags_of([" Home", "home ", "", "  ", "Straße", "STRASSE", "b  c"]) == ("Home", "Straße", "b  c")


@pytest.mark.parametrize("tags", [["x" * 51], [str(n) for n in range(51)]])
def test_tags_are_at_most_50_of_50_characters(tags: list[str]) -> None:
    assert len(tags_of([tag[:50] for tag in tags][:50])) == min(len(tags), 50)
    with pytest.raises(ValueError):  # noqa: PT011 - likewise
        tags_of(tags)


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        ("priority", "x" * 50, True),
        ("priority", "x" * 51, False),
        ("priority", "", False),
        ("priority", None, False),
        ("category", None, True),
        ("category", "Work", True),
        ("category", "", False),
        ("tags", (), True),
        ("tags", ("a", "b"), True),
        ("tags", ("a", "A"), False),
        ("tags", (" a",), False),
        ("tags", ("x" * 51,), False),
        ("tags", None, False),
    ],
)
def test_a_kept_label_is_short_and_tags_are_as_they_are_kept(field: str, value: object, fits: bool) -> None:
    assert RULES[field](value) is fits


@pytest.mark.parametrize(
    ("names", "values"), [((), ()), (("title",), ("Milk",)), (("tags", "title"), (("home",), "Milk"))]
)
def test_the_values_of_any_number_of_fields_are_a_tuple(names: tuple[str, ...], values: tuple[object, ...]) -> None:
    assert field_getter(names)(Fields(title="Milk", tags=("home",))) == values

"""Rendered lists are kept within a size, and not for long once nobody asks for them."""

from __future__ import annotations

from read_api.queries import Head, TaskPage, TaskQuery
from read_api.reader import KEPT_SECONDS, KeptPages

QUERY = TaskQuery()


def page(head: int, size: int = 10) -> TaskPage:
    return TaskPage(body=b"x" * size, head=Head(head))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_page_of_a_list_takes_the_place_of_the_older() -> None:
    kept = KeptPages()
    kept.keep(("alice", QUERY), page(1))
    kept.keep(("alice", QUERY), page(2))
    assert kept.get(("alice", QUERY)) == page(2)
    assert kept.get(("alice", TaskQuery(sort="title"))) is None


def test_the_least_recently_asked_for_go_first_when_there_is_no_room() -> None:
    kept = KeptPages(limit=20_000)
    for user in ("a", "b", "c"):
        kept.keep((user, QUERY), page(1))
    assert kept.get(("a", QUERY))
    for n in range(17):
        kept.keep((f"filler {n}", QUERY), page(1))
    assert [bool(kept.get((user, QUERY))) for user in ("a", "b", "c")] == [True, False, True]


def test_a_page_that_is_large_beside_the_limit_is_not_kept_and_displaces_its_older_one() -> None:
    kept = KeptPages(limit=20_000)
    kept.keep(("a", QUERY), page(1))
    kept.keep(("b", QUERY), page(1))
    kept.keep(("a", QUERY), page(2, size=10_000))
    assert [bool(kept.get((user, QUERY))) for user in ("a", "b")] == [False, True]


def test_what_nobody_asks_for_is_gone_after_ten_minutes() -> None:
    clock = Clock()
    kept = KeptPages(clock=clock)
    kept.keep(("forgotten", QUERY), page(1))
    kept.keep(("asked for", QUERY), page(1))
    clock.now = KEPT_SECONDS - 1
    kept.get(("asked for", QUERY))
    clock.now = KEPT_SECONDS + 1
    kept.keep(("another", QUERY), page(1))
    assert [bool(kept.get((user, QUERY))) for user in ("forgotten", "asked for", "another")] == [False, True, True]

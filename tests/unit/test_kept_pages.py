"""Rendered lists are cached within a size limit, and not long after the last request.

Seen to fail: with the timer not set again after pages were dropped, and with `get` not renewing a page's time.
"""

from __future__ import annotations

import pytest

from read_api.kept_pages import KEPT_SECONDS, KeptPages
from read_api.queries import Head, TaskPage, TaskQuery
from tests.servers import eventually_async

QUERY = TaskQuery()


def page(head: int, size: int = 10) -> TaskPage:
    return TaskPage(body=b"x" * size, head=Head(head))


async def test_the_newest_page_of_a_list_takes_the_place_of_the_older() -> None:
    kept = KeptPages()
    kept.keep(("alice", QUERY), page(1))
    kept.keep(("alice", QUERY), page(2))
    assert kept.get(("alice", QUERY)) == page(2)
    assert kept.get(("alice", TaskQuery(sort="title"))) is None


async def test_the_least_recently_asked_for_go_first_when_there_is_no_room() -> None:
    kept = KeptPages(limit=20_000)
    for user in ("a", "b", "c"):
        kept.keep((user, QUERY), page(1))
    assert kept.get(("a", QUERY))
    for n in range(17):
        kept.keep((f"filler {n}", QUERY), page(1))
    assert [bool(kept.get((user, QUERY))) for user in ("a", "b", "c")] == [True, False, True]


async def test_a_page_that_is_large_beside_the_limit_is_not_kept_and_displaces_its_older_one() -> None:
    kept = KeptPages(limit=20_000)
    kept.keep(("a", QUERY), page(1))
    kept.keep(("b", QUERY), page(1))
    kept.keep(("a", QUERY), page(2, size=10_000))
    assert [bool(kept.get((user, QUERY))) for user in ("a", "b")] == [False, True]


async def test_a_page_is_forgotten_after_its_time_though_nothing_else_is_kept() -> None:
    kept = KeptPages(seconds=0.05)
    for user in ("a", "b"):
        kept.keep((user, QUERY), page(1))
        await eventually_async(lambda: not kept._kept._kept)
    assert kept._kept._weight == 0


async def test_who_is_asked_for_in_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("runtime.cache.time.monotonic", lambda: now)
    kept = KeptPages()
    kept.keep(("asked for", QUERY), page(1))
    kept.keep(("forgotten", QUERY), page(1))
    now = KEPT_SECONDS - 1
    assert kept.get(("asked for", QUERY))
    now = KEPT_SECONDS + 1
    kept._kept._forget_old()
    assert [bool(kept.get((user, QUERY))) for user in ("asked for", "forgotten")] == [True, False]

"""Lists by every sort: read from the sort's index, and in the way that services of release 1.0 ask for them.

Seen to fail: without the index of a sort.
"""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from domain.events import TaskCreated
from projector.catch_up import catch_up
from read_api.cursor import Cursor, decode, encode, filters_digest
from read_api.queries import TaskQuery
from read_model.filters import NO_FILTERS, Filters
from read_model.sorts import INDEXED, SORTS, Sort
from runtime.database import Database
from tests.ledger import appended, created, in_parts, list_tasks, of

OF_1_0 = "SELECT * FROM tasklog.list_tasks($1, $2, $3, $4, $5, $6)"
TITLES = ("Pear", "apple", "fig", "Banana", "apple")
BY_CREATION = ["apple", "Banana", "fig", "apple", "Pear"]
BY_TITLE = ["apple", "apple", "Banana", "fig", "Pear"]


@pytest.mark.parametrize("sort", INDEXED, ids=lambda sort: sort.name)
async def test_a_page_is_read_in_order_from_the_index_of_its_sort(owner: asyncpg.Connection, sort: Sort) -> None:
    """There is no sort step: the order of the page is the order of the index."""
    await owner.execute(
        f"""
        SET enable_seqscan = off;
        SET plan_cache_mode = force_generic_plan;
        PREPARE page (text, text, bigint) AS SELECT t.id FROM tasklog.tasks t
        WHERE t.user_id = $1 AND {sort.behind.replace("after_key", "$2").replace("after_id", "$3")}
        ORDER BY {sort.order} LIMIT 11
        """
    )
    rows = await owner.fetch("EXPLAIN EXECUTE page ('alice', NULL, NULL)")
    plan = "\n".join(row[0] for row in rows)
    assert f"using {sort.index} on tasks" in plan or f"Backward using {sort.index} on tasks" in plan
    assert "Sort" not in plan
    assert f"Index Cond: ((user_id = $1) AND ({sort.column} " in plan or "Index Cond: ((user_id = $1) AND (ROW(" in plan


def titles(page: str) -> list[Any]:
    return [json.loads(body)["title"] for _, _, body in json.loads(page)]


@pytest.mark.parametrize("projected", [True, False])
async def test_services_of_release_1_0_read_lists_page_by_page(
    writer: Database, projector: Database, reader: Database, projected: bool
) -> None:
    """By title, after a title key and an id; by creation, after the position of a task's first event."""
    for title in TITLES:
        await created(writer, "alice", title)
    await catch_up(projector)
    if not projected:
        await created(writer, "alice", "waiting")
    expected: list[tuple[str, list[str]]] = [("created", BY_CREATION), ("title", BY_TITLE)]
    for sort, in_order in expected:
        (first,) = await reader.fetch(OF_1_0, "alice", None, sort, None, None, 2)
        key, task_id, _ = json.loads(first["page"])[1]
        place = (key, task_id) if sort == "title" else (None, key)
        (rest,) = await reader.fetch(OF_1_0, "alice", None, sort, *place, 10)
        assert titles(first["page"]) == in_order[:3]
        assert titles(rest["page"]) == in_order[2:]
        assert (first["total"], first["head"]) == (5, 5 if projected else 6)
        assert (first["tail"] is None) is projected


async def test_services_of_release_1_0_read_whole_lists_with_long_tasks(
    writer: Database, projector: Database, reader: Database
) -> None:
    long = "x" * 5000
    for title in TITLES:
        await appended(writer, of("alice", TaskCreated(title=title, description=long)))
    await catch_up(projector)
    for sort, in_order in (("created", BY_CREATION), ("title", BY_TITLE)):
        (row,) = await reader.fetch(OF_1_0, "alice", False, sort, None, None, None)
        tasks = json.loads(row["body"])
        assert [task["title"] for task in tasks] == in_order
        assert {task["description"] for task in tasks} == {long}
    (row,) = await reader.fetch(OF_1_0, "alice", True, "title", None, None, None)
    assert row["body"] == "[]"


_LARGEST = 2**63 - 1
_YEAR_1, _YEAR_9999 = -62135596800000000, 253402300799999999  # in microseconds from 1970
KEYS = (-_LARGEST, _YEAR_1, 0, 1, 4, _YEAR_9999, 2**62, _LARGEST, "", "\U0010ffff" * 200)


@pytest.mark.parametrize("name", SORTS)
@pytest.mark.parametrize("filters", [NO_FILTERS, Filters(words=("milk",))], ids=["plain", "filtered"])
async def test_postgres_takes_every_key_that_a_cursor_may_have(
    writer: Database, projector: Database, reader: Database, name: str, filters: Filters
) -> None:
    """Seen to fail with times that Postgres does not know: the list, and all that were read with it, were 500."""
    await created(writer, "alice", "Milk")
    await catch_up(projector)
    keys = [key for key in KEYS if SORTS[name].is_key(key)]
    assert len(keys) >= 2
    for key in keys:
        after = decode(encode(Cursor(sort=name, status="all", key=key, id=_LARGEST, filters=filters_digest(filters))))
        query = TaskQuery(sort=name, filters=filters, limit=5, after=after)
        pages = await list_tasks(reader, "alice", query), await in_parts(reader, "alice", query)
        assert pages[0].body == pages[1].body

"""The reader's memory and its entity tags, over a ledger that begins a second history.

Seen to fail: with tags of the position alone, and with kept lists compared by the position alone.
"""

from __future__ import annotations

import json

import asyncpg
import pytest

from domain.events import TaskCreated
from read_api.history import HistoryQuery, history
from read_api.queries import TaskQuery
from read_api.reader import Reader
from read_api.time_travel import moment
from runtime.database import Database
from tests.ledger import appended, of

FORGET = "TRUNCATE tasklog.events, tasklog.streams, tasklog.tasks, tasklog.checkpoints"


async def begin(writer: Database, title: str) -> None:
    await appended(writer, of("alice", TaskCreated(title=title, description=None)))


@pytest.mark.parametrize("query", [TaskQuery(), TaskQuery(sort="title"), TaskQuery(limit=5)])
async def test_what_was_read_of_a_history_is_not_taken_for_another_at_the_same_position(
    writer: Database, reader: Database, owner: asyncpg.Connection, query: TaskQuery
) -> None:
    """As after a restore from a backup that was older than what clients had read already."""
    reads = Reader(reader)
    await begin(writer, "Milk")
    before, _ = await reads.list("alice", query)
    assert await reads.list("alice", query, before) == (before, None)
    await owner.execute(FORGET)
    await begin(writer, "Bread")
    for known in (before, None):
        after, page = await reads.list("alice", query, known)
        assert page is not None
        assert [task["title"] for task in json.loads(page.body)] == ["Bread"]
        assert after != before


async def test_moments_and_histories_of_two_histories_differ_at_the_same_position(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    seen = set()
    for title in ("Milk", "Bread"):
        await begin(writer, title)
        page = await history(reader, "alice", HistoryQuery(task_id=None, type=None, after=0, limit=10))
        assert page is not None
        seen |= {str(await moment(reader, "alice", 1)), str(page.head)}
        await owner.execute(FORGET)
    assert len(seen) == 4

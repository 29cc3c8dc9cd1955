"""An event that nobody can read stops its own user's reads, with an error of its own, and nobody else's.

Seen to fail: with one error for all tasks that were asked for together.
"""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain.evolve import HistoryError
from event_log.codec import UnreadableEventError
from read_api.queries import TaskQuery
from read_api.reader import Reader
from runtime.database import Database
from tests.ledger import created


@pytest.mark.parametrize(
    ("damage", "error"), [("type = 'task.renamed'", UnreadableEventError), ("version = 2", HistoryError)]
)
async def test_who_asks_together_with_a_damaged_user_is_answered(
    writer: Database, reader: Database, owner: asyncpg.Connection, damage: str, error: type[Exception]
) -> None:
    tasks = {user: await created(writer, user) for user in ("alice", "bob", "carol", "dave", "mallory")}
    await owner.execute(f"UPDATE tasklog.events SET {damage} WHERE user_id = 'mallory'")
    reads = Reader(reader)
    asked = [(user, tasks[user]) for user in tasks] * 3
    found = await asyncio.gather(*(reads.task(*key) for key in asked), return_exceptions=True)
    for (user, _), task in zip(asked, found, strict=True):
        if user == "mallory":
            assert isinstance(task, error)
        else:
            assert task is not None
            assert not isinstance(task, BaseException)
    with pytest.raises(error):
        await reads.list("mallory", TaskQuery())
    assert (await reads.list("alice", TaskQuery()))[1] is not None

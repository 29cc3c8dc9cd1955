"""Moves that are refused before anything is written.

Seen to fail: see each test.
"""

from __future__ import annotations

import asyncio

import pytest

from audit.move import MoveError
from domain.commands import CompleteTask, CreateTask
from domain.task import Task
from tests.cells import Place, create, go, moved
from tests.servers import Servers


async def test_a_user_who_is_there_already_is_refused(here: Place, there: Place, user: str) -> None:
    await create(here, user)
    await create(there, user, "another life")
    with pytest.raises(MoveError, match=f"{user} has a stream in this ledger already, so nothing was moved"):
        await go(here, there, user)
    assert await there.titles(user) == ["another life"]
    await here.run(user, CreateTask(title="goes on"))


async def test_ids_that_collide_are_refused_before_anything_is_written(here: Place, there: Place, user: str) -> None:
    """Another user there has the same id: as if two other ledgers had the same range. Seen to fail without the look."""
    task = await create(here, user)
    await there.sql.execute("INSERT INTO tasklog.arrived_tasks (task_id, user_id) VALUES ($1, 'somebody')", task)
    try:
        with pytest.raises(MoveError, match=f"task {task} of {user} has the id of a task of somebody here"):
            await go(here, there, user)
    finally:
        await there.sql.execute("DELETE FROM tasklog.arrived_tasks WHERE user_id = 'somebody'")
    for table in ("events", "arrivals", "streams", "arrived_tasks"):
        assert await there.sql.fetchval(f"SELECT count(*) FROM tasklog.{table} WHERE user_id = $1", user) == 0
    assert isinstance((await here.run(user, CompleteTask(), task)).state, Task)


async def test_ledgers_that_share_task_ids_are_refused(here: Place, user: str, servers: Servers) -> None:
    await create(here, user)
    with servers.cloned() as other:
        said = await asyncio.to_thread(moved, user, here.where, other, code=1)
    assert said == (
        "Both ledgers give task ids from 1 on: set TASK_IDS to a range of its own for each, and run ./run migrate on "
        "both.\n"
    )


async def test_a_user_who_left_for_another_place_is_refused(here: Place, there: Place, user: str) -> None:
    await create(here, user)
    await go(here, there, user)
    await here.sql.execute("UPDATE tasklog.departures SET ledger = 'elsewhere' WHERE user_id = $1", user)
    with pytest.raises(MoveError, match="has left this ledger for b: name that one with --to"):
        await go(here, there, user)


async def test_a_stream_with_a_fault_is_not_moved(here: Place, there: Place, user: str) -> None:
    await create(here, user)
    await here.sql.execute("UPDATE tasklog.events SET hash = hash || '\\x00' WHERE user_id = $1", user)
    with pytest.raises(MoveError, match=f"the stream of {user} has a fault at position 1"):
        await go(here, there, user)
    await here.sql.execute("UPDATE tasklog.events SET hash = substring(hash FOR 32) WHERE user_id = $1", user)

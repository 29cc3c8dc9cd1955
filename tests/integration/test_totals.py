"""The numbers of a user's tasks that the projector keeps, of which pages make their total, are those of the rows.

Seen to fail: with each of the changes' two numbers left out, with an erasure or a rebuild that leaves the numbers as
they were, and with numbers that are counted on over rows of another format.
"""

from __future__ import annotations

import asyncpg
import pytest

from audit.verify import verify
from command_api.known_states import KnownStates
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, ReopenTask, RestoreTask
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from read_api.queries import TaskQuery
from runtime.database import Database
from tests.integration.answers import live
from tests.ledger import list_tasks
from tests.model import Model

HISTORY: list[tuple[Command, int]] = [
    (CreateTask(title="a"), 0),
    (CreateTask(title="b"), 0),
    (CreateTask(title="c"), 0),
    (CompleteTask(), 0),
    (CompleteTask(), 1),
    (DeleteTask(), 1),
    (ReopenTask(), 0),
    (CompleteTask(), 2),
    (DeleteTask(), 2),
    (RestoreTask(), 2),
    (CreateTask(title="gone"), 0),
    (DeleteTask(), 3),
]
KEPT = "SELECT task_count, completed_count FROM tasklog.checkpoints WHERE user_id = $1"


@pytest.fixture
async def model(writer: Database) -> Model:
    model = Model("alice")
    await live(model, writer, KnownStates(), HISTORY)
    return model


async def kept(owner: asyncpg.Connection, model: Model) -> tuple[int | None, int | None]:
    (found,) = await owner.fetch(KEPT, model.user)
    return tuple(found)


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, len(HISTORY)])
async def test_they_follow_the_events_however_these_fall_into_batches(
    writer: Database, projector: Database, owner: asyncpg.Connection, at_once: int
) -> None:
    model, known = Model("alice"), KnownStates()
    for begin in range(0, len(HISTORY), at_once):
        await live(model, writer, known, HISTORY[begin : begin + at_once])
        await catch_up(projector)
        completed = sum(task["completed"] for task in model.tasks.values())
        assert await kept(owner, model) == (len(model.tasks), completed)


async def test_a_user_who_is_erased_has_none(model: Model, projector: Database, owner: asyncpg.Connection) -> None:
    await catch_up(projector)
    await owner.fetch("SELECT tasklog.erase('alice', 'operator', 'request')")
    assert await kept(owner, model) == (0, 0)


async def test_after_rows_of_another_format_they_are_unknown_until_a_rebuild_counts_them(
    model: Model, writer: Database, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    await catch_up(projector)
    await owner.execute("UPDATE tasklog.checkpoints SET row_format = NULL")
    await live(model, writer, KnownStates(), [(CreateTask(title="d"), 0)])
    await catch_up(projector)
    assert await kept(owner, model) == (None, None)
    await request_rebuild(projector)
    await rebuild(projector)
    assert await kept(owner, model) == (3, 1)
    await owner.execute("UPDATE tasklog.checkpoints SET task_count = 99, completed_count = 98, row_format = NULL")
    assert (await list_tasks(reader, model.user, TaskQuery(limit=1))).total == 3
    await request_rebuild(projector)
    await rebuild(projector)
    assert await kept(owner, model) == (3, 1)


async def test_a_page_has_the_right_total_where_none_were_kept_yet(
    model: Model, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    await catch_up(projector)
    await owner.execute("UPDATE tasklog.checkpoints SET task_count = NULL, completed_count = NULL")
    assert (await list_tasks(reader, model.user, TaskQuery(limit=1))).total == 2
    assert (await list_tasks(reader, model.user, TaskQuery(limit=1, status="completed"))).total == 1


@pytest.mark.parametrize("column", ["task_count", "completed_count"])
async def test_verify_finds_wrong_ones_and_a_rebuild_corrects_them(
    model: Model, projector: Database, owner: asyncpg.Connection, column: str
) -> None:
    await catch_up(projector)
    right = await kept(owner, model)
    assert (await verify(projector)).faults == []
    await owner.execute(f"UPDATE tasklog.checkpoints SET {column} = {column} + 1")
    (fault,) = (await verify(projector)).faults
    assert (fault.user_id, fault.position) == (model.user, len(HISTORY))
    assert fault.reason.startswith("the checkpoint counts ")
    await request_rebuild(projector)
    await rebuild(projector)
    assert await kept(owner, model) == right
    assert (await verify(projector)).faults == []

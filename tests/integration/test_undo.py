"""Undo and the trash on the ledger: beside other writers, after an erasure, with long texts, in exports.

Seen to fail: with restorations decided on a cached state, which brought an erased text back, and with an undo that was
overtaken not looking for the newest change again; without the append's look at erasures; with an erased task in the
trash; and with an undo that only reads the few newest changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from audit.export import export_to
from audit.export_file import verify_file
from audit.verify import verify
from command_api.queues import CommandQueues, command_queues
from command_api.undo import Undone, UndoRequest, undo
from domain.commands import CompleteTask, CreateTask, DeleteTask, EditTask, RestoreTask
from domain.decide import TaskNotFoundError
from domain.task import Task
from domain.undo import CannotUndoError
from event_log.append import APPEND
from event_log.erase import ERASE
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from read_api.queries import TaskQuery
from read_api.trash import TrashQuery, trash
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.integration.answers import trash_of
from tests.integration.commands import run, together
from tests.ledger import list_tasks, tasks_copy
from tests.servers import Database as Addresses

LONG = "x" * 1_000_000


async def made(queue: CommandQueues, title: str = "Milk", description: str | None = None) -> int:
    task = await run(queue, CreateTask(title=title, description=description))
    assert isinstance(task, Task)
    return task.id


async def undone(writer: Database, queue: CommandQueues, position: int | None = None) -> Undone:
    return await undo(writer, queue, UndoRequest(user_id="alice", position=position, request_id="test"))


async def test_undos_at_once_each_take_back_another_change(writer: Database, queue: CommandQueues) -> None:
    task = await made(queue)
    titles = [f"title {n}" for n in range(10)]
    for title in titles:
        await run(queue, EditTask(title=title), task)
    answers = await together(*(undone(writer, queue) for _ in titles))
    assert sorted(answer.undone for answer in answers) == list(range(2, 12))
    (last,) = [answer for answer in answers if answer.undone == 2]
    assert (last.state.title, last.position) == ("Milk", 21)


async def test_one_of_two_undos_of_a_change_wins(writer: Database, queue: CommandQueues) -> None:
    task = await made(queue)
    await run(queue, EditTask(title="Oat"), task)
    answers = await together(*(undone(writer, queue, 2) for _ in range(8)))
    assert [answer.undone for answer in answers if isinstance(answer, Undone)] == [2]
    refused = [answer for answer in answers if isinstance(answer, CannotUndoError)]
    assert [answer.positions for answer in refused] == [(3,)] * 7


async def test_an_undo_beside_other_writers_of_its_task_is_decided_on_what_they_left(
    writer: Database, queue: CommandQueues
) -> None:
    task = await made(queue)
    await run(queue, EditTask(title="Oat"), task)
    others = [run(queue, EditTask(description=f"{n}"), task) for n in range(10)]
    answers = await together(undone(writer, queue, 2), *others)
    assert isinstance(answers[0], Undone)
    state = await run(queue, EditTask(), task)
    assert isinstance(state, Task)
    assert (state.title, state.version) == ("Milk", 13)


async def test_after_an_erasure_nothing_comes_back(
    settings: Settings, database: Addresses, writer: Database, reader: Database, queue: CommandQueues
) -> None:
    gone, task = await made(queue, "gone"), await made(queue)
    await run(queue, EditTask(title="Oat"), task)
    await run(queue, DeleteTask(), gone)
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    async with open_database(as_owner, "eraser") as eraser:
        ((erased,),) = await eraser.fetch(ERASE, "alice", "an operator", "r")
    assert await trash_of(reader, "alice") == b"[]"
    for task_id in (gone, task):
        with pytest.raises(TaskNotFoundError):
            await run(queue, RestoreTask(), task_id)
    for position in (1, 3, erased):
        with pytest.raises(CannotUndoError) as refused:
            await undone(writer, queue, position)
        assert refused.value.positions == (erased,)
    with pytest.raises(CannotUndoError):
        await undone(writer, queue)
    new = await made(queue, "new")
    await run(queue, DeleteTask(), new)
    page = await trash(reader, "alice", TrashQuery(limit=1))
    assert (list(page.ids), page.total) == ([new], 1)
    assert (await undone(writer, queue)).state.id == new


class Between:
    """A database in which something happens once, right before a statement."""

    def __init__(self, inner: Database, statement: str, happens: Callable[[], Awaitable[object]]) -> None:
        self._inner, self._statement = inner, statement
        self._happens: Callable[[], Awaitable[object]] | None = happens

    async def fetch(self, query: str, *args: Any) -> Any:
        if query == self._statement and (happens := self._happens) is not None:
            self._happens = None
            await happens()
        return await self._inner.fetch(query, *args)


@pytest.mark.parametrize("how", ["restore", "undo"])
async def test_what_is_erased_while_it_is_being_restored_stays_erased(
    writer: Database, reader: Database, queue: CommandQueues, owner: asyncpg.Connection, how: str
) -> None:
    """The erasure comes between the decision and the append: a restored task would have the title "[erased]"."""
    task = await made(queue)
    await run(queue, DeleteTask(), task)
    between: Any = Between(writer, APPEND, lambda: owner.fetch(ERASE, "alice", "an operator", "r"))
    async with command_queues(between, Wake(None)) as meanwhile:
        if how == "restore":
            with pytest.raises(TaskNotFoundError):
                await run(meanwhile, RestoreTask(), task)
        else:
            with pytest.raises(CannotUndoError):
                await undone(between, meanwhile, 2)
    assert (await list_tasks(reader, "alice", TaskQuery())).body == b"[]"
    assert await owner.fetchval("SELECT max(type) FROM tasklog.events WHERE position > 2") == "stream.erased"


async def test_what_is_erased_while_the_trash_is_being_read_is_not_in_it(
    reader: Database, queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    task = await made(queue)
    await run(queue, DeleteTask(), task)
    page = await trash(reader, "alice", TrashQuery())
    await owner.fetch(ERASE, "alice", "an operator", "r")
    assert (list(page.ids), b"".join([part async for part in page.parts(reader)])) == ([task], b"[]")


@pytest.mark.parametrize("apart", [True, False])
async def test_a_restored_task_is_projected_as_it_was(  # noqa: PLR0913, PLR0917 - who takes part
    writer: Database,
    projector: Database,
    reader: Database,
    queue: CommandQueues,
    owner: asyncpg.Connection,
    apart: bool,
) -> None:
    long, short = await made(queue, "long", LONG), await made(queue, "short")
    await catch_up(projector)
    rows = await owner.fetch("SELECT id, title, description, created_position FROM tasklog.tasks ORDER BY id")
    for task in (long, short):
        await run(queue, DeleteTask(), task)
    if apart:
        await catch_up(projector)
        assert await owner.fetchval("SELECT count(*) FROM tasklog.tasks") == 0
    for task in (long, short):
        await run(queue, RestoreTask(), task)
    before = (await list_tasks(reader, "alice", TaskQuery())).body
    await catch_up(projector)
    assert await owner.fetch("SELECT id, title, description, created_position FROM tasklog.tasks ORDER BY id") == rows
    assert (await list_tasks(reader, "alice", TaskQuery())).body == before
    right = await tasks_copy(owner)
    await request_rebuild(projector)
    await rebuild(projector)
    assert await tasks_copy(owner) == right
    assert (await verify(projector)).faults == []


async def test_a_restoration_that_cannot_be_read_parks_its_user_only(
    projector: Database, queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    task = await made(queue)
    await run(queue, DeleteTask(), task)
    await catch_up(projector)
    await run(queue, RestoreTask(), task)
    await owner.execute("UPDATE tasklog.events SET type = 'task.eaten' WHERE position = 1")
    await run(queue, CreateTask(title="b"), user="bob")
    await catch_up(projector)
    parked = await owner.fetch("SELECT user_id FROM tasklog.checkpoints WHERE parked_until IS NOT NULL")
    assert [row["user_id"] for row in parked] == ["alice"]
    assert await owner.fetchval("SELECT count(*) FROM tasklog.tasks WHERE user_id = 'bob'") == 1


async def test_a_trash_of_many_tasks_comes_in_parts_in_order(
    reader: Database, queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    made_tasks = [await made(queue, f"{n}") for n in range(3)]
    await asyncio.gather(*(run(queue, DeleteTask(), task) for task in made_tasks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("read_api.trash._AT_ONCE", 2)
        page = await trash(reader, "alice", TrashQuery())
        assert not page.is_short
        parts = [part async for part in page.parts(reader)]
    assert len(parts) == 3
    assert b"".join(parts) == await trash_of(reader, "alice")
    deletions = "SELECT task_id FROM tasklog.events WHERE type = 'task.deleted' ORDER BY position DESC"
    assert list(page.ids) == [row["task_id"] for row in await owner.fetch(deletions)]


@pytest.mark.parametrize("few", [2, 100])
async def test_an_undo_looks_back_a_bounded_number_of_changes(
    writer: Database, queue: CommandQueues, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("command_api.undo.MOST_CHANGES", 4)
    monkeypatch.setattr("command_api.undo._FEW", few)
    task = await made(queue)
    for title in "abcd":
        await run(queue, EditTask(title=title), task)
    with pytest.raises(CannotUndoError, match="more than 4 times"):
        await undone(writer, queue, 1)
    with pytest.raises(CannotUndoError) as refused:
        await undone(writer, queue, 2)
    assert refused.value.positions == (3, 4, 5)
    assert (await undone(writer, queue, 5)).undone == 5


async def test_an_export_holds_what_undid_what(
    writer: Database, projector: Database, queue: CommandQueues, tmp_path: Path
) -> None:
    task = await made(queue)
    await run(queue, EditTask(title="Oat", completed=True), task)
    await run(queue, CompleteTask(), task)
    await undone(writer, queue)
    await undone(writer, queue)
    await undone(writer, queue, 6)
    path = tmp_path / "export"
    await export_to(projector, path)
    assert verify_file(path).faults == []
    assert '\\"continues\\":true' in path.read_text()
    assert '\\"undoes\\":3' in path.read_text()

"""A command costs as much as its answer, however long its task's history is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, cast

import asyncpg
import pytest

from command_api.idempotency import key_with_digest
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues, command_queues
from command_api.undo import UndoRequest, undo
from domain.commands import CreateTask, DeleteTask, EditTask, TaskCommand, ToggleTask
from domain.events import TaskEdited
from domain.task import Task
from domain.undo import CannotUndoError
from event_log.read import known_tasks
from projector.catch_up import catch_up
from read_api.queries import Long, TaskBody, TaskQuery, get_tasks, lists
from runtime.database import Database
from runtime.wakeup import Wake
from tests.integration.commands import run
from tests.ledger import appended, created, of

TOGGLES: Final = 3000
"""Read one by one they would show in every figure below."""

_TOGGLE: Final = """
    -- Complete and reopen task $1 of alice until it has version $2; nothing here checks hashes.
    INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data, metadata,
                                recorded_at, hash)
    SELECT 'alice', n, $1, n, gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'task.completed' ELSE 'task.reopened' END,
           1, '{}', '{"actor":"alice"}', now(), sha256(n::text::bytea)
    FROM generate_series((SELECT head + 1 FROM tasklog.streams), $2::integer) n
"""
_MOVE_HEAD: Final = "UPDATE tasklog.streams SET head = $1"
_READ: Final = """
    -- How many rows of the ledger have been read so far.
    SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE schemaname = 'tasklog' AND relname = 'events'
"""


async def grow(owner: asyncpg.Connection, task: int, version: int) -> None:
    await owner.execute(_TOGGLE, task, version)
    await owner.execute(_MOVE_HEAD, version)


class Counting:
    """A database that counts the ledger's rows that were read, and those that were returned."""

    def __init__(self, database: Database, owner: asyncpg.Connection) -> None:
        self._database, self._owner = database, owner
        self.returned = self.read = 0

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        async with self._database.pool.acquire() as connection:
            before = await self._count(connection)
            rows: list[asyncpg.Record] = await connection.fetch(query, *args)
            self.read += await self._count(connection) - before
        self.returned += len(rows)
        return rows

    async def _count(self, connection: Any) -> int:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await self._owner.execute("SELECT pg_stat_clear_snapshot()")
        return int(await self._owner.fetchval(_READ))


@pytest.fixture
async def counting(writer: Database, owner: asyncpg.Connection) -> Counting:
    return Counting(writer, owner)


def keyed(task: int, command: TaskCommand, key: str) -> CommandRequest:
    return CommandRequest(
        user_id="alice",
        task_id=task,
        command=command,
        request_id="r",
        idempotency_key=key_with_digest(key, task, command, None),
    )


@pytest.mark.parametrize("command", [ToggleTask(), EditTask(title="Oat"), EditTask(title="Soy")])
async def test_a_command_on_a_task_that_is_not_known_reads_a_handful_of_events(
    queue: CommandQueues, counting: Any, owner: asyncpg.Connection, command: TaskCommand
) -> None:
    task = await created(owner, "alice")
    await run(queue, EditTask(title="Soy", description="of the shop"), task)
    await grow(owner, task, TOGGLES)
    async with command_queues(counting, Wake(None)) as cold:
        answer = await run(cold, command, task)
    assert isinstance(answer, Task)
    assert answer.description == "of the shop"
    assert answer.title == ("Oat" if command == EditTask(title="Oat") else "Soy")
    assert answer.completed is (command != ToggleTask())
    assert counting.returned <= 10
    assert counting.read <= 30


async def test_the_repeat_of_a_key_reads_a_handful_of_events_and_answers_as_then(
    queue: CommandQueues, counting: Any, owner: asyncpg.Connection
) -> None:
    task = await created(owner, "alice")
    edited = EditTask(title="Then", completed=True)
    first = await queue.execute(keyed(task, edited, "K"))
    await run(queue, EditTask(title="Later", description="later"), task)
    await grow(owner, task, TOGGLES)
    async with command_queues(counting, Wake(None)) as cold:
        assert await cold.execute(keyed(task, edited, "K")) == first
    then = first.state
    assert isinstance(then, Task)
    assert (then.title, then.description, then.completed, then.version) == ("Then", None, True, 3)
    assert counting.returned <= 12
    assert counting.read <= 40


async def test_an_undo_of_what_is_too_long_ago_is_refused_without_reading_the_history(
    queue: CommandQueues, counting: Any, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail while all events that an undo may read were read first."""
    monkeypatch.setattr("command_api.undo.MOST_CHANGES", TOGGLES - 10)
    task = await created(owner, "alice")
    await run(queue, EditTask(title="Oat"), task)
    await grow(owner, task, TOGGLES)
    with pytest.raises(CannotUndoError) as refused:
        await undo(counting, queue, UndoRequest(user_id="alice", position=2, request_id="r"))
    assert refused.value.positions == (TOGGLES,)
    assert counting.read <= 110


@pytest.mark.parametrize("text", ["short", "long " * 2_000])
async def test_histories_of_any_length_give_the_task_at_each_version(writer: Database, text: str) -> None:
    """Seen to fail while a history of nine events, one more than is read whole, lost its first one."""
    versions = range(1, 13)
    task = await created(writer, "alice")
    for version in versions[1:]:
        edit = TaskEdited(title=f"title {version}") if version % 2 else TaskEdited(description=f"{text}{version}")
        await appended(writer, of("alice", edit, task=task, expected=version - 1))
    found = await known_tasks(writer, [(("alice", task), version) for version in versions])
    states = [known.state for known in found if known is not None]
    assert [(state.version, state.title, state.description) for state in states if isinstance(state, Task)] == [
        (n, f"title {n - 1 + n % 2}" if n > 2 else "Milk", f"{text}{n - n % 2}" if n > 1 else None) for n in versions
    ]


async def test_a_heavy_task_and_later_ones_of_its_user_are_left_out(writer: Database) -> None:
    light, heavy, later, others = [await created(writer, user) for user in ("alice", "alice", "alice", "bob")]
    await appended(writer, of("alice", TaskEdited(description="x" * 100_000), task=heavy, expected=1))
    asked = [("alice", light), ("alice", heavy), ("alice", later), ("bob", others), ("bob", heavy)]
    found = await known_tasks(writer, [(key, None) for key in asked], 50_000)
    assert [None if known is None else known.state.version for known in found] == [1, None, None, 1, 0]


async def test_a_task_is_read_without_the_unprojected_events_of_its_users_other_tasks(
    queue: CommandQueues, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    """It held before too, as long as the planner chose the index of the task for a query over the user's whole tail."""
    busy = await created(owner, "alice")
    await catch_up(projector)
    await grow(owner, busy, TOGGLES)
    new = await run(queue, CreateTask(title="new", description=None))
    assert isinstance(new, Task)
    counting = Counting(reader, owner)
    found = await get_tasks(cast(Database, counting), [("alice", new.id), ("alice", new.id + 1)])
    assert isinstance(found[0], TaskBody)
    assert json.loads(found[0].body)["title"] == "new"
    assert found[1] is None
    assert counting.read < 10


async def test_a_deleted_task_is_not_found_without_reading_its_history(
    queue: CommandQueues, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    """Seen to fail while the bytes of all events of a task without a row were counted: 6,000 rows were read."""
    task = await created(owner, "alice")
    await grow(owner, task, TOGGLES)
    await run(queue, DeleteTask(), task)
    await catch_up(projector)
    counting = Counting(reader, owner)
    assert await get_tasks(cast(Database, counting), [("alice", task)]) == [None]
    assert counting.read < 10


async def test_a_list_with_a_long_tail_is_read_apart_before_anything_of_the_tail_is(
    projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    """Seen to fail while only the bytes of a tail were bounded: all of it was read, to give a list of one task."""
    task = await created(owner, "alice")
    await catch_up(projector)
    await grow(owner, task, 11_000)
    counting = Counting(reader, owner)
    assert await lists(cast(Database, counting), [("alice", TaskQuery())]) == [Long.LONG]
    assert counting.read < 10

"""Receipts of commands that are carried out together, and of repeats whose first time is hard to find again."""

from __future__ import annotations

from typing import Any

import asyncpg

from command_api.idempotency import Done, key_with_digest
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues, command_queues
from domain.commands import CompleteTask, CreateTask, EditTask, TaskCommand, ToggleTask
from domain.task import Task
from event_log.receipt import Receipt
from runtime.database import Database
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, together
from tests.ledger import appended, created, of


async def done(queue: CommandQueues, command: TaskCommand, task: int | None = None, key: str | None = None) -> Done:
    given = None if key is None else key_with_digest(key, task, command, None)
    request = CommandRequest(user_id="alice", task_id=task, command=command, request_id="r", idempotency_key=given)
    return await queue.execute(request)


async def receipts(owner: asyncpg.Connection) -> list[Receipt]:
    rows = await owner.fetch("SELECT position, hash FROM tasklog.events WHERE user_id = 'alice' ORDER BY position")
    return [Receipt(row["position"], row["hash"].hex()) for row in rows]


async def test_commands_of_one_batch_have_each_its_own_receipt(queue: CommandQueues, owner: asyncpg.Connection) -> None:
    answers: list[Any] = await together(*(done(queue, CREATE) for _ in range(50)))
    stored = await receipts(owner)
    assert len(stored) == 50
    assert sorted(answer.receipt for answer in answers) == stored
    assert all(answer.state.created_position == answer.receipt.position for answer in answers)


async def test_what_changes_nothing_beside_a_change_has_the_receipt_of_that_change(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    made = await done(queue, CREATE)
    assert isinstance(made.state, Task)
    task = made.state.id
    answers: list[Any] = await together(*(done(queue, CompleteTask(), task) for _ in range(10)))
    assert {answer.receipt for answer in answers} == {(await receipts(owner))[1]}


async def test_what_changes_nothing_has_no_older_receipt_than_what_another_process_wrote(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    """This process has the task in its cache, with the head of that time."""
    made = await done(queue, CREATE)
    assert isinstance(made.state, Task)
    await appended(writer, of("alice"))
    answer = await done(queue, EditTask(title="Milk"), made.state.id)
    assert answer.receipt == (await receipts(owner))[1]


async def test_a_key_from_before_positions_were_stored_repeats_with_the_receipt_of_its_event(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    first = await done(queue, CREATE, key="k")
    await done(queue, CREATE)
    await owner.execute("UPDATE tasklog.idempotency_keys SET position = NULL")
    assert await done(queue, CREATE, key="k") == first


async def test_a_repeat_whose_event_the_ledger_lost_has_no_receipt(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice")
    await done(queue, ToggleTask(), task, key="k")
    lost = (
        "DELETE FROM tasklog.events WHERE position = 2 RETURNING (SELECT hash FROM tasklog.events WHERE position = 1)"
    )
    await owner.execute("UPDATE tasklog.streams SET head = 1, hash = $1", await owner.fetchval(lost))
    async with command_queues(writer, Wake(None)) as other:
        assert (await done(other, ToggleTask(), task, key="k")).receipt is None


async def test_release_1_0_finds_what_was_carried_out_as_before(queue: CommandQueues, writer: Database) -> None:
    made = await done(queue, CreateTask(title="Milk"), key="k")
    assert isinstance(made.state, Task)
    (row,) = await writer.fetch("SELECT * FROM tasklog.remembered($1, $2)", ["alice"], ["k"])
    key = key_with_digest("k", None, CreateTask(title="Milk"), None)
    assert dict(row) == {
        "user_id": "alice",
        "key": "k",
        "fingerprint": key.fingerprint,
        "task_id": made.state.id,
        "version": 1,
    }

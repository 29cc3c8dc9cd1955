"""A ledger that lost its last events and got others instead, under processes that remember the lost ones.

This happens after a fail-over to a replica that was behind, or after a restore.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from command_api.queues import CommandQueues, command_queues
from domain.commands import Command, CompleteTask, DeleteTask, EditTask, ToggleTask
from domain.task import DeletedTask, Task, TaskState
from runtime.database import Database
from runtime.wakeup import Wake
from tests.integration.commands import run, together
from tests.ledger import created

LOSE = """
    -- The last event of the only stream is lost.
    WITH lost AS (DELETE FROM tasklog.events WHERE position = (SELECT max(position) FROM tasklog.events))
    UPDATE tasklog.streams SET head = head - 1,
        hash = (SELECT hash FROM tasklog.events WHERE position = head - 1)
"""


@asynccontextmanager
async def two_processes(writer: Database) -> AsyncIterator[tuple[CommandQueues, CommandQueues]]:
    async with command_queues(writer, Wake(None)) as one, command_queues(writer, Wake(None)) as two:
        yield one, two


async def types(owner: asyncpg.Connection) -> list[str]:
    return [row["type"] for row in await owner.fetch("SELECT type FROM tasklog.events ORDER BY position")]


@pytest.mark.parametrize(
    ("lost", "instead", "then", "right", "stored"),
    [
        (CompleteTask(), EditTask(title="Oat"), ToggleTask(), ("Oat", True), "task.completed"),
        (EditTask(title="Lost"), CompleteTask(), ToggleTask(), ("Milk", False), "task.reopened"),
        (EditTask(title="Lost"), EditTask(title="Oat"), CompleteTask(), ("Oat", True), "task.completed"),
        (CompleteTask(), EditTask(title="Oat"), EditTask(title="Oat", completed=True), ("Oat", True), "task.completed"),
        (EditTask(title="Lost"), DeleteTask(), ToggleTask(), None, "task.deleted"),
        (DeleteTask(), CompleteTask(), ToggleTask(), ("Milk", False), "task.reopened"),
    ],
)
async def test_no_process_appends_to_a_task_by_an_event_that_was_lost(  # noqa: PLR0913, PLR0917 - fixtures and cases
    writer: Database,
    owner: asyncpg.Connection,
    lost: Command,
    instead: Command,
    then: Command,
    right: tuple[str, bool] | None,
    stored: str,
) -> None:
    """One process remembers version 2, which is lost; another appends a new one; the first continues on the new one."""
    async with two_processes(writer) as (one, two):
        task = await created(writer, "alice")
        await run(one, lost, task)
        await owner.execute(LOSE)
        await run(two, instead, task)
        (answer,) = await together(run(one, then, task))
    if right is None:
        assert not isinstance(answer, Task | DeletedTask)
    else:
        assert isinstance(answer, Task)
        assert (answer.title, answer.completed) == right
    assert (await types(owner))[-1] == stored


async def test_commands_that_wait_together_are_all_decided_anew_when_what_is_known_was_lost(
    writer: Database, owner: asyncpg.Connection
) -> None:
    async with two_processes(writer) as (one, two):
        task = await created(writer, "alice")
        await run(one, CompleteTask(), task)
        await owner.execute(LOSE)
        await run(two, EditTask(title="Oat"), task)
        answers: list[TaskState] = await together(*(run(one, ToggleTask(), task) for _ in range(3)))
    assert [(a.title, a.completed, a.version) for a in answers if isinstance(a, Task)] == [
        ("Oat", True, 3),
        ("Oat", False, 4),
        ("Oat", True, 5),
    ]
    expected = ["task.created", "task.edited", "task.completed", "task.reopened", "task.completed"]
    assert await types(owner) == expected


async def test_a_process_of_release_1_0_still_appends(writer: Database, owner: asyncpg.Connection) -> None:
    """It names no last event: its function keeps its name, arguments and result."""
    statement = "SELECT * FROM tasklog.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    new = await owner.fetchval("SELECT gen_random_uuid()")
    made = [[0], ["alice"], [None], [1], [new], ["task.created"], [2], ['{"title":"Milk"}'], ["{}"], [None], [None]]
    (row,) = await writer.fetch(statement, *made, False)
    assert dict(row) == {
        "command": 0,
        "outcome": "appended",
        "task_id": row["task_id"],
        "position": 1,
        "recorded_at": row["recorded_at"],
    }
    again = [[0], ["alice"], [row["task_id"]], [1], [new], ["task.edited"], [1], ["{}"], ["{}"], [None], [None]]
    ((_, outcome, *_),) = await writer.fetch(statement, *again, False)
    assert outcome == "conflict"

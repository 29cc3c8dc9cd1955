"""What a process knows of a task belongs to an event, not to a version number, because versions are used again.

After a fail-over that loses commits, or a restore, the same version of a task can be another event. A process that
continued from its memory would append impossible events.
"""

from __future__ import annotations

import asyncpg

from command_api.queues import command_queues
from domain.commands import CompleteTask, CreateTask, EditTask, ToggleTask
from domain.task import Task
from runtime.database import Database
from runtime.wakeup import Wake
from tests.integration.commands import run

LOSE = """
    -- What a standby lacks: user $1's events after position $2.
    WITH lost AS (DELETE FROM tasklog.events WHERE user_id = $1 AND position > $2)
    UPDATE tasklog.streams s SET head = e.position, hash = e.hash, recorded_at = e.recorded_at
    FROM tasklog.events e WHERE s.user_id = $1 AND e.user_id = $1 AND e.position = $2
"""
TYPES = "SELECT type FROM tasklog.events WHERE user_id = 'alice' ORDER BY position"


async def test_a_toggle_decides_on_the_history_that_is_there(owner: asyncpg.Connection, writer: Database) -> None:
    async with command_queues(writer, Wake(None)) as one, command_queues(writer, Wake(None)) as other:
        task = await run(one, CreateTask(title="Milk"))
        assert isinstance(task, Task)
        await run(one, EditTask(title="Lost"), task.id)
        await run(one, CompleteTask(), task.id)
        await owner.execute(LOSE, "alice", 1)
        for title in ("Oat milk", "Soy milk"):
            await run(other, EditTask(title=title), task.id)

        toggled = await run(one, ToggleTask(), task.id)

        assert isinstance(toggled, Task)
        assert (toggled.title, toggled.completed, toggled.version) == ("Soy milk", True, 4)
        types = [row["type"] for row in await owner.fetch(TYPES)]
        assert types == ["task.created", "task.edited", "task.edited", "task.completed"]


async def test_a_command_that_changes_nothing_answers_with_the_task_that_is_there(
    owner: asyncpg.Connection, writer: Database
) -> None:
    async with command_queues(writer, Wake(None)) as one, command_queues(writer, Wake(None)) as other:
        task = await run(one, CreateTask(title="Milk"))
        assert isinstance(task, Task)
        await run(one, CompleteTask(), task.id)
        await owner.execute(LOSE, "alice", 1)
        await run(other, EditTask(title="Oat milk"), task.id)

        completed = await run(one, CompleteTask(), task.id)

        assert isinstance(completed, Task)
        assert (completed.title, completed.completed, completed.version) == ("Oat milk", True, 3)

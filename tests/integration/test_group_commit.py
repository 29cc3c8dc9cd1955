"""Commands that wait together are carried out together, and each is answered as if it had been alone.

Seen to fail: with commands of one batch decided on the same state, with a no-op answered from the cache, and without
`reload`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from command_api.group_commit import ConflictError
from command_api.queues import CommandQueues, command_queues
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, EditTask, ReopenTask, ToggleTask
from domain.decide import TaskNotFoundError
from domain.events import TaskCompleted, TaskDeleted, TaskEdited, TaskEvent, TaskReopened
from domain.task import DeletedTask, Task
from event_log.append import APPEND, Fetching
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, run, together
from tests.ledger import appended, created, of, positions, within


async def other_process(writer: Fetching, task: int, *events: TaskEvent, expected: int) -> None:
    """Append events that the queue does not know about."""
    await appended(writer, of("alice", *events, task=task, expected=expected))


async def test_a_hundred_parallel_toggles_each_answer_their_own_step(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    task = await run(queue, CREATE)
    assert isinstance(task, Task)
    answers = await together(*(run(queue, ToggleTask(), task.id) for _ in range(100)))
    assert sorted(answer.version for answer in answers) == list(range(2, 102))
    assert [answer.completed for answer in answers] == [answer.version % 2 == 0 for answer in answers]
    assert await positions(owner, "alice") == list(range(1, 102))


async def test_one_of_parallel_deletes_wins(queue: CommandQueues, owner: asyncpg.Connection) -> None:
    task = await run(queue, CREATE)
    assert isinstance(task, Task)
    answers = await together(*(run(queue, DeleteTask(), task.id) for _ in range(30)))
    assert sorted(type(answer).__name__ for answer in answers) == ["DeletedTask"] + ["TaskNotFoundError"] * 29
    assert [(answer.task, answer.version) for answer in answers if isinstance(answer, DeletedTask)] == [(task, 2)]
    assert await positions(owner, "alice") == [1, 2]


async def test_two_processes_on_one_task_lose_no_toggle(settings: Settings, owner: asyncpg.Connection) -> None:
    async with (
        open_database(settings, "writer") as one,
        open_database(settings, "writer") as two,
        command_queues(one, Wake(None)) as first,
        command_queues(two, Wake(None)) as second,
    ):
        task = await created(one, "alice")
        answers: list[Task] = []
        for _ in range(5):
            answers += await together(*(run(queue, ToggleTask(), task) for queue in [first, second] * 10))
    assert sorted(answer.version for answer in answers) == list(range(2, 102))
    assert {answer.completed == (answer.version % 2 == 0) for answer in answers} == {True}
    assert await positions(owner, "alice") == list(range(1, 102))


@pytest.mark.parametrize(
    ("elsewhere", "command", "expected"),
    [
        ([TaskCompleted()], ToggleTask(), (3, False, "Milk")),
        ([TaskCompleted()], CompleteTask(), (2, True, "Milk")),
        ([TaskCompleted(), TaskReopened()], CompleteTask(), (4, True, "Milk")),
        ([TaskCompleted()], ReopenTask(), (3, False, "Milk")),
        ([TaskEdited(title="Oat")], EditTask(title="Milk"), (3, False, "Milk")),
        ([TaskEdited(title="Oat")], EditTask(title="Oat"), (2, False, "Oat")),
        ([TaskDeleted()], ToggleTask(), None),
        ([TaskDeleted()], EditTask(title="Milk"), None),
    ],
)
async def test_what_another_process_did_is_decided_on(
    queue: CommandQueues, writer: Database, elsewhere: list[TaskEvent], command: Command, expected: Any
) -> None:
    """The queue knows the task at version 1; it may not answer a no-op on this state without proof."""
    task = await created(writer, "alice")
    await run(queue, ReopenTask(), task)
    await other_process(writer, task, *elsewhere, expected=1)
    if expected is None:
        with pytest.raises(TaskNotFoundError):
            await run(queue, command, task)
        return
    answer = await run(queue, command, task)
    assert isinstance(answer, Task)
    assert (answer.version, answer.completed, answer.title) == expected


async def test_what_is_known_and_the_ledger_does_not_hold_is_forgotten(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    """As after a fail-over to a replica that lagged: the cached state has a version that no longer exists."""
    task = await created(writer, "alice")
    await run(queue, EditTask(title="Oat"), task)
    await owner.execute("DELETE FROM tasklog.events WHERE position = 2")
    hash_before = await owner.fetchval("SELECT hash FROM tasklog.events")
    await owner.execute("UPDATE tasklog.streams SET head = 1, hash = $1", hash_before)
    for title in ("Oat", "Oat", "Soy"):
        answer = await run(queue, EditTask(title=title), task)
        assert isinstance(answer, Task)
        assert (answer.title, answer.version) == (title, 3 if title == "Soy" else 2)
    assert await positions(owner, "alice") == [1, 2, 3]


async def test_a_task_that_was_missing_is_found_once_another_process_made_it(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    following = 1 + await owner.fetchval("SELECT nextval('tasklog.task_ids')")
    with pytest.raises(TaskNotFoundError):
        await run(queue, ToggleTask(), following)
    assert await created(writer, "alice") == following
    answer = await run(queue, ToggleTask(), following)
    assert isinstance(answer, Task)
    assert answer.version == 2


async def test_commands_decided_together_on_an_old_state_are_all_decided_anew(
    queue: CommandQueues, writer: Database
) -> None:
    """The third command would expect version 3, which the task has only by chance, with another state."""
    task = await created(writer, "alice")
    await run(queue, ReopenTask(), task)
    await other_process(writer, task, TaskEdited(title="Oat"), TaskCompleted(), expected=1)
    answers = await together(*(run(queue, ToggleTask(), task) for _ in range(3)))
    assert sorted((answer.version, answer.completed) for answer in answers) == [(4, False), (5, True), (6, False)]


class Rival:
    """A database in which another process changes the task before every append."""

    def __init__(self, database: Database, owner: asyncpg.Connection, task: int) -> None:
        self._database, self._owner, self._task = database, owner, task
        self.version = 1

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        if query == APPEND:
            event = TaskEdited(title=f"Rival {self.version}")
            await other_process(self._owner, self._task, event, expected=self.version)
            self.version += 1
        return await self._database.fetch(query, *args)


async def test_a_conflict_without_end_ends_and_leaves_nothing(writer: Database, owner: asyncpg.Connection) -> None:
    task = await created(writer, "alice")
    rival = Rival(writer, owner, task)
    async with command_queues(rival, Wake(None)) as queue:  # type: ignore[arg-type]
        with pytest.raises(ConflictError):
            await within(20, run(queue, ToggleTask(), task))
    assert 2 < rival.version < 50
    assert await owner.fetchval("SELECT count(*) FROM tasklog.events WHERE type = 'task.completed'") == 0


async def test_a_new_task_answers_what_was_stored(queue: CommandQueues, owner: asyncpg.Connection) -> None:
    answer = await run(queue, CreateTask(title="Milk", description="two litres"))
    row = await owner.fetchrow("SELECT * FROM tasklog.events")
    assert answer == Task(
        id=row["task_id"],
        title="Milk",
        description="two litres",
        due_date=None,
        priority="medium",
        tags=(),
        category=None,
        completed=False,
        completed_at=None,
        created_at=row["recorded_at"],
        updated_at=row["recorded_at"],
        created_position=1,
        version=1,
    )

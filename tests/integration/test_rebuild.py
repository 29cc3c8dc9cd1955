"""Rebuild, online: what was wrong is mended, what is right is never touched, and nobody reads anything in between.

Seen to fail: with all rows of a user deleted before the right ones are put in a second transaction, without the lock
of CLAIM_REBUILD, without ENROL_ALL, with the mark taken before the rows are written, and with REBUILT leaving a
checkpoint ahead of its stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import orjson
import pytest

from audit.verify import verify
from domain.events import TaskEdited
from projector import rebuild as rebuilding
from projector.catch_up import catch_up
from projector.rebuild import left, mark, rebuild, rebuild_batch
from projector.worker import project_until, rebuild_when_idle
from read_api.queries import TaskQuery
from runtime.database import Database, UnavailableError
from runtime.settings import Settings
from tests.ledger import Life, appended, created, list_tasks, of, opened, tasks_copy, within
from tests.servers import eventually_async

USERS = 12
DAMAGE = {
    "changed rows": "UPDATE tasklog.tasks SET title = 'Forged', body = '{}' WHERE id % 2 = 0",
    "missing rows": "DELETE FROM tasklog.tasks WHERE id % 2 = 0",
    "an empty table": "TRUNCATE tasklog.tasks",
    "extra rows": "INSERT INTO tasklog.tasks SELECT user_id, id + 9999, title, description, completed, created_at,"
    " updated_at, created_position + 9999, version, title_key, body FROM tasklog.tasks",
    "rows of nobody": "INSERT INTO tasklog.tasks SELECT 'nobody', id, title, description, completed, created_at,"
    " updated_at, created_position, version, title_key, body FROM tasklog.tasks WHERE user_id = 'user-1'",
    "checkpoints ahead": "UPDATE tasklog.checkpoints SET position = position + 5",
    "checkpoints lost": "TRUNCATE tasklog.checkpoints",
    "everything lost": "TRUNCATE tasklog.checkpoints, tasklog.tasks",
    "parked users": "UPDATE tasklog.checkpoints SET parked_until = now() + interval '1 day', attempts = 9, error = 'x'",
}


@pytest.fixture
async def lives(writer: Database, projector: Database) -> list[Life]:
    made = [Life(f"user-{n}", seed=7) for n in range(USERS)]
    await asyncio.gather(*(life.go_on(writer, 25) for life in made))
    await catch_up(projector)
    return made


@pytest.mark.parametrize("name", DAMAGE)
async def test_a_rebuild_mends_whatever_was_done_to_the_projection(
    lives: list[Life], projector: Database, owner: asyncpg.Connection, name: str
) -> None:
    right = await tasks_copy(owner)
    await owner.execute(DAMAGE[name])
    await mark(projector)
    done = await rebuild(projector)
    assert done.failed == {}
    await catch_up(projector)
    assert await tasks_copy(owner) == right
    assert (await verify(projector)).faults == []
    assert await left(projector) == (0, 0)
    assert await owner.fetchval("SELECT count(*) FROM tasklog.checkpoints WHERE parked_until IS NOT NULL") == 0


async def test_a_right_table_is_not_touched_at_all(
    lives: list[Life], projector: Database, owner: asyncpg.Connection
) -> None:
    rows = "SELECT ctid::text, xmin::text FROM tasklog.tasks ORDER BY user_id, id"
    before = await owner.fetch(rows)
    assert await mark(projector) == USERS
    done = await rebuild(projector)
    assert (done.users, done.written, done.removed) == (USERS, 0, 0)
    assert done.events == await owner.fetchval("SELECT sum(head) FROM tasklog.streams")
    assert await owner.fetch(rows) == before


async def test_one_user_alone_can_be_rebuilt(lives: list[Life], projector: Database, owner: asyncpg.Connection) -> None:
    right = await tasks_copy(owner)
    await owner.execute("UPDATE tasklog.tasks SET title = 'Forged'")
    assert await mark(projector, "user-3") == 1
    assert (await rebuild(projector)).users == 1
    assert await owner.fetchval("SELECT count(*) FROM tasklog.tasks WHERE user_id = 'user-3' AND title = 'Forged'") == 0
    assert (await verify(projector, user_id="user-3")).faults == []
    assert await tasks_copy(owner) != right
    assert await mark(projector, "who") == 0


async def test_more_users_than_are_marked_at_once_are_all_marked(
    lives: list[Life], projector: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "_MARKED_AT_ONCE", 5)
    assert await mark(projector) == USERS
    assert (await left(projector))[0] == USERS


class _KilledError(Exception):
    """Stands for the end of the process at a statement."""


@asynccontextmanager
async def _killed_after(database: Database, statements: int) -> AsyncIterator[list[int]]:
    """Let every connection break at its statement of that number; says how many there were."""
    counted = [0]
    wrapped = ("execute", "fetch", "cursor")
    original = {name: getattr(asyncpg.Connection, name) for name in wrapped}

    def counting(name: str) -> Any:
        def call(connection: asyncpg.Connection, *args: Any, **kwargs: Any) -> Any:
            counted[0] += 1
            if counted[0] > statements:
                connection.terminate()
                raise _KilledError
            return original[name](connection, *args, **kwargs)

        return call

    for name in wrapped:
        setattr(asyncpg.Connection, name, counting(name))
    try:
        yield counted
    finally:
        for name in wrapped:
            setattr(asyncpg.Connection, name, original[name])


async def test_killed_at_any_statement_it_leaves_the_table_right_and_can_start_again(
    lives: list[Life], settings: Settings, projector: Database, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("DELETE FROM tasklog.tasks WHERE user_id = 'user-1'")
    damaged = await tasks_copy(owner)
    await mark(projector)
    for statement in range(100):
        async with opened((settings, "projector")) as (victim,):
            async with _killed_after(victim, statement) as counted:
                with suppress(_KilledError, UnavailableError):
                    await rebuild_batch(victim, USERS)
            if counted[0] <= statement:
                break
            assert await tasks_copy(owner) == damaged
            assert (await left(projector))[0] == USERS
    assert statement > 5
    assert await tasks_copy(owner) == right
    assert await left(projector) == (0, 0)


async def test_several_processes_share_a_rebuild_and_each_user_is_done_once(
    lives: list[Life], settings: Settings, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    async with opened(*[(settings, "projector")] * 4) as workers:
        await mark(workers[0])

        async def work(worker: Database) -> int:
            users = 0
            while (batch := await rebuild_batch(worker, 1)).users:
                users += batch.users
                await asyncio.sleep(0)
            return users

        shares = await asyncio.gather(*map(work, workers))
    assert sum(shares) == USERS
    assert sum(share > 0 for share in shares) > 1
    assert await tasks_copy(owner) == right


async def test_readers_never_see_anything_but_the_whole_truth_while_all_is_rebuilt(
    lives: list[Life], settings: Settings, writer: Database, projector: Database, reader: Database
) -> None:
    """Writers write, a projector projects, the table is rebuilt again and again, and every answer is as of its head."""
    done = asyncio.Event()
    answers = [0] * USERS

    async def rebuild_often() -> None:
        async with opened((settings, "projector")) as (other,):
            for _ in range(8):
                await mark(other)
                while (await left(other))[0]:
                    await rebuild(other)
                    await asyncio.sleep(0)
        done.set()

    reads = [_read_until(done, reader, life.user, answers, n) for n, life in enumerate(lives)]
    writes = [_write_until(done, writer, life) for life in lives[:4]]
    await within(60, asyncio.gather(*reads, *writes, _project_until(done, projector), rebuild_often()))
    assert min(answers) > 5
    for life in lives:
        page = await list_tasks(reader, life.user, TaskQuery())
        tasks = {task["id"]: (task["title"], task["completed"]) for task in orjson.loads(page.body)}
        assert tasks == {task: (title, completed) for task, (title, completed, _) in life.tasks.items()}


async def _read_until(done: asyncio.Event, reader: Database, user: str, answers: list[int], n: int) -> None:
    """Every answer at a position is the same, and positions never go back."""
    known: dict[int, bytes] = {}
    while not done.is_set():
        page = await list_tasks(reader, user, TaskQuery())
        assert page.head.position >= max(known, default=0)
        assert known.setdefault(page.head.position, page.body) == page.body
        answers[n] += 1


async def _write_until(done: asyncio.Event, writer: Database, life: Life) -> None:
    while not done.is_set():
        await life.go_on(writer, 1)
        await asyncio.sleep(0.01)


async def _project_until(done: asyncio.Event, projector: Database) -> None:
    while not done.is_set():
        await catch_up(projector)
        await asyncio.sleep(0.01)


async def test_who_cannot_be_replayed_keeps_the_rows_and_everybody_else_is_rebuilt(
    lives: list[Life], projector: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("UPDATE tasklog.events SET type = 'task.renamed' WHERE user_id = 'user-2' AND position = 3")
    await owner.execute("UPDATE tasklog.tasks SET title = 'Forged'")
    await mark(projector)
    done = await rebuild(projector)
    assert {user: position for user, (position, _) in done.failed.items()} == {"user-2": 3}
    forged = await owner.fetch("SELECT DISTINCT user_id FROM tasklog.tasks WHERE title = 'Forged'")
    assert [row[0] for row in forged] == ["user-2"]
    assert await left(projector) == (0, 0)


async def test_whose_rows_the_database_refuses_is_given_up_and_everybody_else_is_rebuilt(
    lives: list[Life], projector: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("TRUNCATE tasklog.tasks")
    await owner.execute("ALTER TABLE tasklog.tasks ADD CONSTRAINT no CHECK (user_id <> 'user-2')")
    await mark(projector)
    done = await rebuild(projector)
    assert [*done.failed] == ["user-2"]
    users = await owner.fetchval("SELECT count(DISTINCT user_id) FROM tasklog.tasks")
    assert users == sum(bool(life.tasks) for life in lives if life.user != "user-2")


async def test_idle_projectors_rebuild_whoever_is_marked_and_go_on_projecting(
    lives: list[Life], writer: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    stopping, woken, idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
    running = [
        asyncio.create_task(project_until(stopping, projector, woken, idle)),
        asyncio.create_task(rebuild_when_idle(projector, idle)),
    ]
    await mark(projector)
    await eventually_async(lambda: _is(owner, right))
    task = await created(writer, "user-1", "While idle")
    await appended(writer, of("user-1", TaskEdited(title="Seen"), task=task, expected=1))
    woken.set()
    await eventually_async(lambda: owner.fetchval("SELECT true FROM tasklog.tasks WHERE title = 'Seen'"))
    running[1].cancel()
    stopping.set()
    woken.set()
    await asyncio.gather(*running, return_exceptions=True)
    assert not running[0].cancelled()
    assert (await verify(projector)).faults == []


async def _is(owner: asyncpg.Connection, tasks: bytes) -> bool:
    return await tasks_copy(owner) == tasks

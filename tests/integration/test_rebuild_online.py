"""A rebuild while everything runs: killed anywhere, shared by several, beside writers, readers and projectors.

How it was seen to fail: see test_rebuild.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg
import orjson
import pytest

from audit.jobs import rebuild_job
from audit.verify import verify
from domain.events import TaskEdited
from projector.catch_up import catch_up
from projector.job_states import Meter
from projector.rebuild import faults, left, rebuild, rebuild_batch, request_rebuild
from projector.rebuild_statements import LEFT_TO_REBUILD
from projector.woken import Woken
from projector.worker import project_until, rebuild_when_idle
from read_api.queries import TaskQuery
from runtime.database import Database, UnavailableError
from runtime.settings import Settings
from tasklog.cli.ledger import _rebuild
from tests.ledger import (
    Life,
    appended,
    connections,
    created,
    list_tasks,
    lived,
    of,
    opened,
    tasks_copy,
    waiting_for_locks,
    within,
)
from tests.servers import Database as Addresses
from tests.servers import eventually_async

USERS = 12


@pytest.fixture
async def lives(writer: Database, projector: Database) -> list[Life]:
    made = await lived(writer, USERS, 25, seed=7)
    await catch_up(projector)
    return made


class _KilledError(Exception):
    """Simulates the end of the process at a statement."""


@contextmanager
def _killed_after(statements: int) -> Iterator[list[int]]:
    """Break every connection at its statement of this number; yield the count of statements."""
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
    await request_rebuild(projector)
    for statement in range(100):
        async with opened((settings, "projector")) as (victim,):
            with _killed_after(statement) as counted, suppress(_KilledError, UnavailableError):
                await rebuild_batch(victim, USERS)
            if counted[0] <= statement:
                break
            assert await tasks_copy(owner) == damaged
            assert (await left(projector))[0] == USERS
            await eventually_async(lambda: _is_free(owner))
    assert statement > 5
    assert await tasks_copy(owner) == right
    assert await left(projector) == (0, 0)


async def _is_free(owner: asyncpg.Connection) -> bool:
    """Return whether the server has noticed the killed process: until then its locks are held."""
    return len(await owner.fetch("SELECT FROM tasklog.checkpoints FOR UPDATE SKIP LOCKED")) == USERS


class Meeting:
    """A database whose first transaction ends only when those of all others have come equally far."""

    def __init__(self, database: Database, all_of_them: asyncio.Barrier) -> None:
        self._database, self._all_of_them, self._met = database, all_of_them, False

    @asynccontextmanager
    async def transaction(self, *settings: str) -> AsyncIterator[Any]:
        async with self._database.transaction(*settings) as connection:
            yield connection
            if not self._met:
                self._met = True
                await self._all_of_them.wait()


async def test_several_processes_share_a_rebuild_and_each_user_is_done_once(
    lives: list[Life], settings: Settings, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    async with opened(*[(settings, "projector")] * 4) as workers:
        await request_rebuild(workers[0])

        all_of_them = asyncio.Barrier(len(workers))

        async def work(worker: Database) -> int:
            meeting: Any = Meeting(worker, all_of_them)
            users = 0
            while (batch := await rebuild_batch(meeting, 1)).users:
                users += batch.users
                await asyncio.sleep(0)
            return users

        shares = await within(60, asyncio.gather(*map(work, workers)))
    assert sum(shares) == USERS
    assert min(shares) >= 1
    assert await tasks_copy(owner) == right


class Overtaken:
    """A database in which something happens after a refused transaction, or before a statement."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[object]], before: str = "") -> None:
        self._database, self._happens, self._before = database, happens, before

    @asynccontextmanager
    async def transaction(self, *settings: str) -> AsyncIterator[Any]:
        try:
            async with self._database.transaction(*settings) as connection:
                yield connection
        except asyncpg.PostgresError:
            await self._happens()
            raise

    async def fetch(self, query: str, *args: Any) -> Any:
        if query == self._before:
            await self._happens()
        return await self._database.fetch(query, *args)


async def test_who_was_refused_is_not_given_up_once_somebody_else_came_through_nor_is_anybody_else(
    lives: list[Life], settings: Settings, projector: Database, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    await owner.execute("ALTER TABLE tasklog.tasks ADD CONSTRAINT no CHECK (user_id <> 'user-0')")
    await request_rebuild(projector)
    async with opened((settings, "projector")) as (other,):

        async def come_through() -> None:
            await owner.execute("ALTER TABLE tasklog.tasks DROP CONSTRAINT no")
            assert (await rebuild_batch(other, 1)).users == 1

        overtaken: Any = Overtaken(projector, come_through)
        assert (await rebuild_batch(overtaken, 1)).failed == {}
    assert (await left(projector))[0] == USERS - 1
    await rebuild(projector)
    assert await faults(projector) == {}
    assert await tasks_copy(owner) == right


async def test_whoever_asked_is_told_the_faults_that_other_processes_found(
    lives: list[Life], settings: Settings, projector: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("UPDATE tasklog.events SET type = 'task.renamed' WHERE user_id = 'user-2' AND position = 3")
    async with opened((settings, "projector")) as (other,):
        overtaken: Any = Overtaken(projector, lambda: rebuild(other), before=LEFT_TO_REBUILD)
        users, done, _ = await _rebuild(overtaken, None)
        assert (users, done.users) == (USERS, 0)
        assert {user: position for user, (position, _) in done.failed.items()} == {"user-2": 3}
        result = await rebuild_job(overtaken, Meter())
        assert (result["users"], [*result["failed"]]) == (USERS, ["user-2"])
        assert result["failed"]["user-2"].startswith("position 3: ")


async def test_readers_never_see_anything_but_the_whole_truth_while_all_is_rebuilt(
    lives: list[Life], settings: Settings, writer: Database, projector: Database, reader: Database
) -> None:
    """Writers write, a projector projects, the table is rebuilt again and again, and every answer matches its head."""
    done = asyncio.Event()
    answers = [0] * USERS

    async def rebuild_often() -> None:
        async with opened((settings, "projector")) as (other,):
            for _ in range(8):
                await request_rebuild(other)
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
    """Check that every answer at a position is the same, and positions never go back."""
    known: dict[int, bytes] = {}
    while not done.is_set():
        page = await list_tasks(reader, user, TaskQuery())
        assert page.head.position >= max(known, default=0)
        assert known.setdefault(page.head.position, page.body) == page.body
        answers[n] += 1


async def _write_until(done: asyncio.Event, writer: Database, life: Life) -> None:
    while not done.is_set():
        await life.go_on(writer, 1)


async def _project_until(done: asyncio.Event, projector: Database) -> None:
    while not done.is_set():
        await catch_up(projector)


async def test_idle_projectors_rebuild_whoever_is_marked_and_go_on_projecting(
    lives: list[Life], writer: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    stopping, woken, idle = asyncio.Event(), Woken(), asyncio.Event()
    running = [
        asyncio.create_task(project_until(stopping, projector, woken, idle)),
        asyncio.create_task(rebuild_when_idle(projector, idle)),
    ]
    await request_rebuild(projector)
    await eventually_async(lambda: _is(owner, right))
    task = await created(writer, "user-1", "While idle")
    await appended(writer, of("user-1", TaskEdited(title="Seen"), task=task, expected=1))
    woken.heard(["user-1"])
    await eventually_async(lambda: owner.fetchval("SELECT true FROM tasklog.tasks WHERE title = 'Seen'"))
    running[1].cancel()
    stopping.set()
    woken.heard(())
    await asyncio.gather(*running, return_exceptions=True)
    assert not running[0].cancelled()
    assert (await verify(projector)).faults == []


async def _is(owner: asyncpg.Connection, tasks: bytes) -> bool:
    return await tasks_copy(owner) == tasks


async def test_who_enrols_all_and_the_projector_that_enrols_who_is_new_never_wait_for_each_other(
    writer: Database, projector: Database, database: Addresses, owner: asyncpg.Connection
) -> None:
    """Delayed by one checkpoint, both have made others. Seen to fail, as a deadlock, if one made them unordered."""
    users = [f"user-{number:02}" for number in range(40)]
    for user in users:
        await created(writer, user)
    async with connections(database.owner, 1) as (holder,), holder.transaction():
        await holder.execute("INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('user-39', 0)")
        marking = asyncio.create_task(request_rebuild(projector))
        await eventually_async(lambda: waiting_for_locks(owner, 1))
        enrolling = asyncio.create_task(catch_up(projector))
        await eventually_async(lambda: waiting_for_locks(owner, 2))
    marked, _ = await within(10, asyncio.gather(marking, enrolling))
    assert marked == 40
    await rebuild(projector)
    await catch_up(projector)
    assert await owner.fetchval("SELECT count(*) FROM tasklog.tasks") == 40
    assert (await verify(projector)).faults == []

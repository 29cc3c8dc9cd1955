"""The projector: each event exactly once, whatever is killed, however many run; for bad events see test_parking.py.

Seen to fail: with the checkpoint in a separate transaction, without `FOR UPDATE` in CLAIM, with a head's mark cleared
without a look at the head, and with the wake-up cleared after the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from domain.events import TaskCompleted, TaskCreated
from projector import catch_up as projection
from projector import row_writes, worker
from projector.catch_up import catch_up
from projector.statements import CLEAR_UNPROJECTED, ENROL
from projector.woken import Woken, sweep
from projector.worker import project_until
from runtime.database import Database, UnavailableError, open_database
from runtime.settings import Settings
from tests.ledger import (
    Life,
    appended,
    assert_projected,
    copy_of,
    created,
    flat,
    forget_projection,
    lived,
    of,
    projected,
    tasks_copy,
    within,
)
from tests.servers import eventually_async

MARKED = "SELECT count(*) FROM tasklog.streams WHERE unprojected_since IS NOT NULL"


async def test_two_projectors_at_once_project_each_event_once(
    settings: Settings, writer: Database, owner: asyncpg.Connection
) -> None:
    """While 40 users write. Their counts add up to the events: none was projected twice, or not at all."""
    made = await lived(writer, 40, 5)
    writing = [asyncio.create_task(life.go_on(writer, 15)) for life in made]

    async def run() -> int:
        async with open_database(settings, "projector") as database:
            count = 0
            while not all(task.done() for task in writing):
                count += await catch_up(database)
            return count + await catch_up(database)

    counts = await within(100, asyncio.gather(run(), run(), *writing))
    async with open_database(settings, "projector") as database:
        rest = await catch_up(database)
    assert sum(counts[:2]) + rest == sum(life.events for life in made) == 800
    await assert_projected(owner, made)


class Dying:
    """A projector's database whose backend is killed after the n-th statement of a batch."""

    def __init__(self, database: Database, owner: asyncpg.Connection, after: int) -> None:
        self._database, self._owner = database, owner
        self.left = after

    @asynccontextmanager
    async def transaction(self, *settings: str) -> AsyncIterator[Any]:
        async with self._database.transaction(*settings) as connection:
            self._connection = connection
            if not self.left:
                await self._kill()
            yield self
        self.fetch = self._database.fetch  # type: ignore[method-assign]

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._then_maybe_die(self._connection.fetch(query, *args))

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._then_maybe_die(self._connection.execute(query, *args))

    async def copy_records_to_table(self, *args: Any, **options: Any) -> Any:
        return await self._then_maybe_die(self._connection.copy_records_to_table(*args, **options))

    async def _then_maybe_die(self, statement: Any) -> Any:
        result = await statement
        self.left -= 1
        if not self.left:
            await self._kill()
        return result

    async def _kill(self) -> None:
        pid = self._connection.get_server_pid()
        await self._owner.execute("SELECT pg_terminate_backend($1, 5000)", pid)


async def test_a_projector_killed_between_any_two_statements_has_projected_nothing(
    projector: Database,
    writer: Database,
    owner: asyncpg.Connection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its batches have creations, changes and deletions; the next projector does all of them, once."""
    monkeypatch.setattr(row_writes, "_FEW", 0)  # creations are copied, a statement of their own
    if settings.database_pooler == "yes":
        pytest.skip("a pooler hands out another backend than the one that was killed")
    made = await lived(writer, 5, 12)
    await catch_up(projector)
    statements = 0
    while True:
        await asyncio.gather(*(life.go_on(writer, 8) for life in made))
        before = await tasks_copy(owner), await copy_of(owner, "checkpoints", "user_id")
        dying: Any = Dying(projector, owner, after=statements)
        try:
            await projection.project_batch(dying)
        except UnavailableError:
            assert (await tasks_copy(owner), await copy_of(owner, "checkpoints", "user_id")) == before
        else:
            break
        assert await catch_up(projector) == 40
        await assert_projected(owner, made)
        statements += 1
    assert statements == 8, "one for BEGIN, and one for each statement of a batch"
    await catch_up(projector)
    await assert_projected(owner, made)


async def test_a_projector_killed_behind_its_commit_has_projected_all_of_it_once(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its streams are still marked as unprojected; the next projector finds nothing to do for them."""
    made = await lived(writer, 5, 12)
    await catch_up(projector)
    await asyncio.gather(*(life.go_on(writer, 8) for life in made))
    with monkeypatch.context() as patch:
        patch.setattr(projector, "fetch", dies)
        with pytest.raises(UnavailableError):
            await projection.project_batch(projector)
    assert await projected(owner) == {life.user: life.tasks for life in made if life.tasks}
    assert await owner.fetchval(MARKED) == 5
    assert await catch_up(projector) == 0
    await sweep(projector)
    await assert_projected(owner, made)


async def dies(*_: object) -> None:
    """Fail, as in a process that has ended."""
    raise UnavailableError


async def test_a_projector_that_is_stopped_ends_with_the_batch_under_way(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "USERS", 1)
    made = await lived(writer, 5, 3)
    await catch_up(projector)  # every user has a checkpoint
    await asyncio.gather(*(life.go_on(writer, 3) for life in made))
    stopping = asyncio.Event()
    stopping.set()
    assert await catch_up(projector, stopping) == 0
    batch = projection.project_batch

    async def stop_and_go_on(*args: Any) -> Any:
        stopping.set()
        return await batch(*args)

    stopping.clear()
    with monkeypatch.context() as patch:
        patch.setattr(projection, "project_batch", stop_and_go_on)
        assert await catch_up(projector, stopping) == 3
    assert await catch_up(projector) == 12
    await assert_projected(owner, made)


async def test_a_mark_that_is_cleared_late_is_kept_for_a_checkpoint_that_went_back(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    """The projection was dropped between a batch's commit and the clearing of its marks."""
    (life,) = await lived(writer, 1, 5)
    await catch_up(projector)
    await owner.execute("UPDATE tasklog.streams SET unprojected_since = now()")
    await owner.execute("TRUNCATE tasklog.tasks; UPDATE tasklog.checkpoints SET position = 0")
    await projector.fetch(CLEAR_UNPROJECTED, [life.user], [life.events])
    assert await owner.fetchval(MARKED) == 1
    assert await catch_up(projector) == 5
    await assert_projected(owner, [life])


async def test_more_events_than_a_batch_takes_are_projected_in_turns(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("USERS", 4), ("EVENTS_OF_A_USER", 3), ("EVENTS", 5)):
        monkeypatch.setattr(projection, name, value)
    made = await lived(writer, 9, 10)
    assert await within(20, catch_up(projector)) == 90
    await assert_projected(owner, made)


async def test_more_bytes_than_a_batch_takes_are_projected_in_turns(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of events, and of tasks that short events change; nobody waits for all of another user's."""
    for name, value in (("BYTES_OF_A_USER", 50_000), ("BYTES", 80_000)):
        monkeypatch.setattr(projection, name, value)
    made = await lived(writer, 3, 4)
    long = TaskCreated(title="Long", description="x" * 20_000)
    first = flat(await appended(writer, *[of("long", long)] * 7))
    short = [of("long", TaskCompleted(), task=event.task_id, expected=1) for event in first]
    assert await within(20, catch_up(projector)) == 12 + 7
    await appended(writer, *short)
    await asyncio.gather(*(life.go_on(writer, 2) for life in made))
    _, events, is_full = await projection.project_batch(projector)
    assert is_full
    assert 6 < events < 6 + 7
    assert await within(20, catch_up(projector)) == 6 + 7 - events
    rows = await owner.fetch("SELECT completed, length(description) FROM tasklog.tasks WHERE user_id = 'long'")
    assert [tuple(row) for row in rows] == [(True, 20_000)] * 7


class Late:
    """A database in which something happens right after a run has searched for work for the last time."""

    def __init__(self, database: Database, happens: Any) -> None:
        self._database, self._happens = database, happens
        self.transaction = database.transaction

    async def fetch(self, query: str, *args: Any) -> Any:
        rows = await self._database.fetch(query, *args)
        if query == ENROL:
            await self._happens()
        return rows


async def test_a_nudge_during_a_run_is_not_lost(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no sweep during this test: only the nudge causes the second run."""
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 600)
    task = await created(writer, "alice")
    stopping, woken, runs = asyncio.Event(), Woken(), 0

    async def happens() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:  # the first run has enrolled the user
            await appended(writer, of("alice", TaskCompleted(), task=task, expected=1))
            woken.heard(None)

    late: Any = Late(projector, happens)
    running = asyncio.create_task(project_until(stopping, late, woken))
    woken.heard(None)
    await eventually_async(lambda: owner.fetchval("SELECT bool_or(completed) FROM tasklog.tasks"))
    stopping.set()
    woken.heard(())
    await within(20, running)


async def test_the_sweep_finds_work_that_nobody_told_of_and_needs_no_redis(
    settings: Settings, writer: Database, owner: asyncpg.Connection
) -> None:
    stopping, woken = asyncio.Event(), Woken()
    without_redis = settings.model_copy(update={"redis_url": None})
    async with open_database(without_redis, "projector") as database:
        running = asyncio.create_task(project_until(stopping, database, woken))
        await created(writer, "alice")
        await eventually_async(lambda: owner.fetchval("SELECT count(*) FROM tasklog.tasks"))
        stopping.set()
        await within(20, running)


async def test_tasks_dropped_and_projected_anew_equal_themselves_in_every_byte(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    """Projected event by event the first time, and all at once the second time."""
    made = [Life(f"user-{n}", seed=2) for n in range(10)]
    for _ in range(15):
        await asyncio.gather(*(life.go_on(writer, 1) for life in made))
        await catch_up(projector)
    rows, checkpoints = await tasks_copy(owner), await copy_of(owner, "checkpoints", "user_id")
    await forget_projection(owner)
    assert await tasks_copy(owner) == b""
    assert await catch_up(projector) == 150
    assert await tasks_copy(owner) == rows
    assert await copy_of(owner, "checkpoints", "user_id") == checkpoints
    await assert_projected(owner, made)

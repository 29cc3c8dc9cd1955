"""Nobody waits for ever, and only a limited number may wait: whoever exceeds a limit is refused at once, with a 503.

Seen to fail: without either limit of the queue, with one count for both queues, with an ignored deadline, and without
either limit of the pool. The tests do not wait for time to pass: they make waiting commands older.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from command_api import group_commit, room
from command_api.group_commit import CommandQueue
from command_api.idempotency import key_with_digest
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues, command_queues
from domain.commands import CreateTask
from domain.task import Task
from event_log.append import APPEND
from runtime import pool as runtime_pool
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, run, together
from tests.ledger import positions, within
from tests.servers import eventually_async

LetGo = Callable[[], Awaitable[None]]
HOLD = "SELECT FROM tasklog.streams WHERE user_id = 'alice' FOR UPDATE"


class Appends:
    """A database that counts the appends, and lets them pass while `free` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.begun = 0
        self.free = asyncio.Event()
        self.free.set()

    async def fetch(self, query: str, *args: Any) -> Any:
        if query == APPEND:
            self.begun += 1
            await self.free.wait()
        return await self._database.fetch(query, *args)


@pytest.fixture
async def appends(writer: Database) -> Appends:
    return Appends(writer)


@pytest.fixture
async def queues(appends: Any) -> AsyncIterator[CommandQueues]:
    async with command_queues(appends, Wake(None)) as running:
        yield running


def of_the_other_queue(queues: CommandQueues) -> str:
    """Return a user whose commands are in another queue than alice's."""
    return next(user for user in map(str, range(1000)) if queues.of(user) is not queues.of("alice"))


def of_the_same_queue(queues: CommandQueues) -> str:
    """Return a user whose commands are in the same queue as alice's."""
    return next(user for user in map(str, range(1000)) if queues.of(user) is queues.of("alice"))


def has_waited(command: Any, seconds: float) -> None:
    """Make a command appear to have waited this long."""
    command.deadline = asyncio.get_running_loop().time() + 10 - seconds


@asynccontextmanager
async def waiting(queues: CommandQueues, appends: Appends, number: int) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Start one batch of alice, and queue further commands behind it."""
    queue: CommandQueue = queues.of("alice")
    appends.free.clear()
    commands = [asyncio.create_task(run(queues, CREATE))]
    await eventually_async(lambda: appends.begun == 1)
    commands += [asyncio.create_task(run(queues, CREATE)) for _ in range(number)]
    await eventually_async(lambda: len(queue._waiting) == number)
    yield commands
    appends.free.set()
    assert {type(answer) for answer in await together(*commands)} == {Task}


async def test_a_command_beyond_as_many_as_may_wait_is_refused_at_once(
    queues: CommandQueues, appends: Appends, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands in progress count; each queue counts its own; a refused command leaves no trace."""
    monkeypatch.setattr(room, "_WAITING", 5)
    monkeypatch.setattr(group_commit, "_LONGEST_WAIT_SECONDS", 100)  # however long this test takes
    async with waiting(queues, appends, 3):
        fifth = asyncio.create_task(run(queues, CREATE))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="too many"):
            await within(20, run(queues, CREATE))
        other = asyncio.create_task(run(queues, CREATE, user=of_the_other_queue(queues)))
        await eventually_async(lambda: appends.begun == 2)
    assert {type(answer) for answer in await together(fifth, other, run(queues, CREATE))} == {Task}
    assert await positions(owner, "alice") == [1, 2, 3, 4, 5, 6]


async def test_one_user_cannot_take_all_places_of_a_queue(
    queues: CommandQueues, appends: Appends, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "_LONGEST_WAIT_SECONDS", 100)  # however long this test takes
    appends.free.clear()
    many = [asyncio.create_task(run(queues, CREATE)) for _ in range(1000)]
    stranger = asyncio.create_task(run(queues, CREATE, user=of_the_same_queue(queues)))
    await eventually_async(lambda: appends.begun == 1)
    appends.free.set()
    assert isinstance(await within(20, stranger), Task)
    answers = [type(answer) for answer in await together(*many)]
    assert (answers.count(Task), answers.count(UnavailableError)) == (500, 500)
    assert await positions(owner, "alice") == list(range(1, 501))


async def test_one_user_cannot_take_all_room_for_text_of_a_queue(queues: CommandQueues, appends: Appends) -> None:
    appends.free.clear()
    long = CreateTask(title="Long", description="x" * 1_000_000)
    many = [asyncio.create_task(run(queues, long)) for _ in range(33)]
    stranger = asyncio.create_task(run(queues, long, user=of_the_same_queue(queues)))
    await eventually_async(lambda: appends.begun >= 1)
    appends.free.set()
    assert isinstance(await within(20, stranger), Task)
    answers = [type(answer) for answer in await together(*many)]
    assert (answers.count(Task), answers.count(UnavailableError)) == (16, 17)


async def test_a_refused_command_with_much_text_can_be_repeated_under_its_key(
    queues: CommandQueues, appends: Appends, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = CreateTask(title="Long", description="x" * 100_000)
    key = key_with_digest("K", None, command, None)
    request = CommandRequest(user_id="alice", task_id=None, command=command, request_id="test", idempotency_key=key)
    with monkeypatch.context() as patched:
        patched.setattr(room, "_HEAVY_WAITING", 10)
        with pytest.raises(UnavailableError, match="too much text"):
            await within(20, queues.execute(request))
    assert isinstance((await within(20, queues.execute(request))).state, Task)


async def test_nobody_new_is_let_in_while_the_first_has_waited_for_over_a_second(
    queues: CommandQueues, appends: Appends
) -> None:
    queue: CommandQueue = queues.of("alice")
    async with waiting(queues, appends, 1):
        has_waited(queue._waiting[0], 0.1)
        let_in = asyncio.create_task(run(queues, CREATE))
        await eventually_async(lambda: len(queue._waiting) == 2)
        has_waited(queue._waiting[0], 1.01)
        with pytest.raises(UnavailableError, match="too many"):
            await within(20, run(queues, CREATE))
        other = asyncio.create_task(run(queues, CREATE, user=of_the_other_queue(queues)))
        await eventually_async(lambda: appends.begun == 2)
    assert {type(answer) for answer in await together(let_in, other, run(queues, CREATE))} == {Task}


async def test_a_command_waits_ten_seconds_for_a_held_stream(
    queues: CommandQueues, appends: Appends, owner: asyncpg.Connection
) -> None:
    """It is tried again and again; a later command gets the same time."""
    await run(queues, CREATE)
    lanes = queues.of("alice")._lanes
    async with owner.transaction():
        await owner.execute(HOLD)
        held = asyncio.create_task(run(queues, CREATE))
        await eventually_async(lambda: lanes.of("alice"))
        has_waited((lanes.of("alice") or [])[0], 5)
        tried = appends.begun
        await eventually_async(lambda: appends.begun > tried + 2 and lanes.of("alice"))
        assert not held.done()
        has_waited((lanes.of("alice") or [])[0], 10)
        with pytest.raises(UnavailableError, match="held"):
            await within(20, held)
        later = asyncio.create_task(run(queues, CREATE))
        await eventually_async(lambda: lanes.of("alice"))
        assert not later.done()
    assert isinstance(await within(20, later), Task)
    assert await positions(owner, "alice") == [1, 2]


@asynccontextmanager
async def busy(database: Database) -> AsyncIterator[LetGo]:
    """Occupy every connection of a pool; yield a function that frees one."""
    async with AsyncExitStack() as all_of_them:
        for _ in range(database._limits.connections - 1):
            await all_of_them.enter_async_context(database.transaction())
        async with AsyncExitStack() as last:
            await last.enter_async_context(database.transaction())
            yield last.aclose


async def test_who_waits_for_a_connection_gets_it_and_not_everybody_may_wait(
    reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_pool, "_WAITING", 3)
    async with busy(reader) as let_one_go:
        waiting = [asyncio.create_task(reader.fetch("SELECT 1")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="too many"):
            await within(8, reader.fetch("SELECT 1"))
        await let_one_go()
        assert [rows[0][0] for rows in await together(*waiting)] == [1, 1, 1]
        assert (await within(20, reader.fetch("SELECT 1")))[0][0] == 1


async def test_nobody_waits_longer_for_a_connection_than_for_an_answer(reader: Database) -> None:
    reader._limits = replace(reader._limits, seconds=0.05)
    async with busy(reader) as let_one_go:
        with pytest.raises(UnavailableError, match="TimeoutError"):
            await within(20, reader.fetch("SELECT 1"))
        await let_one_go()
        assert (await within(20, reader.fetch("SELECT 1")))[0][0] == 1

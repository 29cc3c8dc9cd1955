"""Batches on their way to the ledger: nobody waits for another user, and abandoned commands are not carried out.

Seen to fail: without lanes (everybody waits for the locked stream), with skipped commands put behind the others or into
a lane at once, with commands that came meanwhile not put into the lane, with one queue for all, with a failed batch
failed as a whole, and with cancelled commands left in their lane.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from command_api.idempotency import Done
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues, command_queues
from domain.commands import ToggleTask
from domain.task import Task
from event_log.append import APPEND
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, run, together
from tests.ledger import created, positions, waits_for_lock, within
from tests.servers import eventually_async

HOLD = "SELECT FROM tasklog.streams WHERE user_id = 'alice' FOR UPDATE"
CURSE = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cursed'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON tasklog.events
        FOR EACH ROW WHEN (new.user_id = 'cursed') EXECUTE FUNCTION public.refuse()
"""
END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = 'tasklog_writer' AND datname = current_database()
"""


def request(user: str) -> CommandRequest:
    """Return a request for a new task of a user."""
    return CommandRequest(user_id=user, task_id=None, command=CREATE, request_id="test")


def in_a_lane(queue: CommandQueues, commands: int) -> bool:
    """Return whether this many commands wait for alice's stream."""
    return len(queue.of("alice")._lanes.of("alice") or ()) == commands


async def test_a_held_stream_lets_others_pass_and_is_served_after_its_release(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    task = await run(queue, CREATE)
    assert isinstance(task, Task)
    async with owner.transaction():
        await owner.execute(HOLD)
        held = [asyncio.create_task(run(queue, ToggleTask(), task.id)) for _ in range(10)]
        for _ in range(5):
            assert {type(answer) for answer in await together(*(run(queue, CREATE, user=u) for u in "bcd"))} == {Task}
        await eventually_async(lambda: in_a_lane(queue, 10))
        assert not [command for command in held if command.done()]
    answers = await together(*held)
    assert sorted((answer.version, answer.completed) for answer in answers) == [(n, n % 2 == 0) for n in range(2, 12)]


class HeldOnce:
    """A database in which another transaction locks alice's stream during the first append only.

    The first append is answered when `others_came` is set.
    """

    def __init__(self, database: Database, owner: asyncpg.Connection) -> None:
        self._database, self._owner = database, owner
        self.appends = 0
        self.others_came = asyncio.Event()

    async def fetch(self, query: str, *args: Any) -> Any:
        if query != APPEND:
            return await self._database.fetch(query, *args)
        self.appends += 1
        if self.appends > 1:
            return await self._database.fetch(query, *args)
        async with self._owner.transaction():
            await self._owner.execute(HOLD)
            rows = await self._database.fetch(query, *args)
        await self.others_came.wait()
        return rows


async def test_whom_a_moments_hold_passed_over_is_first_in_the_next_batch(
    writer: Database, owner: asyncpg.Connection
) -> None:
    """They share a commit with the commands that came meanwhile, stand before them, and need no lane."""
    task = await created(writer, "alice")
    held: Any = HeldOnce(writer, owner)
    async with command_queues(held, Wake(None)) as queue:
        early = [asyncio.create_task(run(queue, ToggleTask(), task)) for _ in range(3)]
        await eventually_async(lambda: held.appends == 1)
        late = [asyncio.create_task(run(queue, ToggleTask(), task)) for _ in range(3)]
        await asyncio.sleep(0)
        held.others_came.set()
        answers = await together(*early, *late)
    assert [answer.version for answer in answers] == [2, 3, 4, 5, 6, 7]
    assert held.appends == 2


class HeldTwice(HeldOnce):
    """The same during the first two appends; the second is answered when `others_came` is set."""

    async def fetch(self, query: str, *args: Any) -> Any:
        if query != APPEND or self.appends == 2:
            return await self._database.fetch(query, *args)
        self.appends += 1
        async with self._owner.transaction():
            await self._owner.execute(HOLD)
            rows = await self._database.fetch(query, *args)
        if self.appends == 2:
            await self.others_came.wait()
        return rows


async def test_who_came_while_another_was_passed_over_does_not_overtake_it_in_its_lane(
    writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice")
    held: Any = HeldTwice(writer, owner)
    async with command_queues(held, Wake(None)) as queue:
        early = asyncio.create_task(run(queue, ToggleTask(), task))
        await eventually_async(lambda: held.appends == 2)
        late = asyncio.create_task(run(queue, ToggleTask(), task))
        await asyncio.sleep(0)
        held.others_came.set()
        answers = await together(early, late)
    assert [answer.version for answer in answers] == [2, 3]


async def test_two_batches_of_different_users_are_under_way_at_once(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    """Neither batch waits for the other's commit; a third batch would."""
    users = [f"user-{n}" for n in range(20)]
    users.append(next(user for user in map(str, range(1000)) if queue.of(user) is not queue.of(users[0])))
    async with owner.transaction():
        await owner.execute("LOCK TABLE tasklog.events IN EXCLUSIVE MODE")
        waiting = [asyncio.create_task(run(queue, CREATE, user=user)) for user in users for _ in range(2)]
        await eventually_async(lambda: waiting_appends(owner, 2))
    answers = await together(*waiting)
    assert {type(answer) for answer in answers} == {Task}
    assert [await positions(owner, user) for user in users] == [[1, 2]] * len(users)


async def waiting_appends(owner: asyncpg.Connection, number: int) -> bool:
    """Return whether this many appends wait for a lock."""
    await owner.execute("SELECT pg_stat_clear_snapshot()")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await owner.fetchval(waiting) == number)


async def test_a_database_error_of_one_command_is_its_own(queue: CommandQueues, owner: asyncpg.Connection) -> None:
    await owner.execute(CURSE)
    answers = await together(*(run(queue, CREATE, user=user) for user in ["a", "cursed", "z", "a"]))
    assert [type(answer) for answer in answers] == [Task, asyncpg.RaiseError, Task, Task]
    assert await positions(owner, "a") == [1, 2]
    assert await positions(owner, "cursed") == []


class Counted:
    """A database that counts the appends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.appends = 0

    async def fetch(self, query: str, *args: Any) -> Any:
        self.appends += query == APPEND
        return await self._database.fetch(query, *args)


async def test_one_command_with_an_error_costs_the_others_of_its_batch_a_few_statements(
    writer: Database, owner: asyncpg.Connection
) -> None:
    """The batch of 64 is halved until the command is alone: 2 statements for each of 6 halvings."""
    await owner.execute(CURSE)
    counted: Any = Counted(writer)
    users = [f"user-{n:02}" for n in range(64)]
    users[37] = "cursed"
    async with command_queues(counted, Wake(None)) as queue:
        one = queue.of("cursed")
        answers = await together(*(one.execute(request(user)) for user in users))
    assert [type(answer) for answer in answers].count(Done) == 63
    assert isinstance(answers[37], asyncpg.RaiseError)
    assert counted.appends == 1 + 2 * 6


async def test_a_command_that_was_given_up_before_it_began_is_not_carried_out(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    given_up = asyncio.create_task(run(queue, CREATE))
    kept = asyncio.create_task(run(queue, CREATE))
    await asyncio.sleep(0)
    given_up.cancel()
    await together(given_up, kept)
    assert await positions(owner, "alice") == [1]


async def test_a_command_that_was_given_up_in_a_lane_is_not_carried_out(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    await run(queue, CREATE)
    async with owner.transaction():
        await owner.execute(HOLD)
        begun = asyncio.create_task(run(queue, CREATE))
        await eventually_async(lambda: in_a_lane(queue, 1))
        given_up = asyncio.create_task(run(queue, CREATE))
        await asyncio.sleep(0)
        given_up.cancel()
    await together(begun, given_up)
    await run(queue, CREATE)
    assert await positions(owner, "alice") == [1, 2, 3]


async def test_a_lost_connection_fails_what_was_under_way_and_nothing_after(
    queue: CommandQueues, owner: asyncpg.Connection
) -> None:
    await run(queue, CREATE)
    async with owner.transaction():
        await owner.execute("LOCK TABLE tasklog.events IN EXCLUSIVE MODE")
        under_way = asyncio.create_task(run(queue, CREATE))
        await eventually_async(lambda: waits_for_lock(owner))
        await owner.execute(END)
        with pytest.raises(UnavailableError) as failed:
            await within(20, under_way)
    assert "Lock" not in str(failed.value)  # it did not wait anew
    assert isinstance(await within(20, run(queue, CREATE)), Task)
    assert await positions(owner, "alice") == [1, 2]

"""The append: dense positions in commit order, each command on its own, and nobody waits for another user.

Seen to fail: without the lock on the head, without the lock on a new stream's name, with only `clock_timestamp()` as
the time, with `FOR UPDATE` instead of `SKIP LOCKED`, and without `refused` in `tasklog.append_commands`.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import asyncpg
import pytest

from domain.events import Recorded, TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskReopened
from event_log.append import Append, Appended, Refused, append
from projector.catch_up import catch_up
from runtime.database import Database
from tests.integration.second_verifier import link
from tests.ledger import appended, connections, created, flat, of, positions, waits_for_lock, within
from tests.servers import Database as Addresses
from tests.servers import eventually_async

WRITERS = 32


async def test_positions_count_a_users_events_and_versions_a_tasks(writer: Database) -> None:
    milk, bread, other = await appended(writer, of("alice"), of("alice"), of("bob"))
    changed = await appended(
        writer,
        of("alice", TaskEdited(title="Oat"), TaskCompleted(), task=milk[0].task_id, expected=1),
        of("alice", TaskDeleted(), task=bread[0].task_id, expected=1),
    )
    events = flat([milk, bread, *changed])
    assert [(event.position, event.version) for event in events] == [(1, 1), (2, 1), (3, 2), (4, 3), (5, 2)]
    assert [(event.position, event.version) for event in other] == [(1, 1)]
    assert len({milk[0].task_id, bread[0].task_id, other[0].task_id}) == 3


async def test_a_conflict_refuses_its_command_and_not_its_neighbours(
    writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice")
    outcomes = await append(
        writer,
        [
            of("alice", TaskCompleted(), task=task, expected=1),
            of("alice", TaskCompleted(), task=task, expected=1),
            of("alice"),
            of("bob", TaskCompleted(), task=task, expected=1),
            of("bob"),
        ],
    )
    assert [type(outcome) for outcome in outcomes] == [Appended, Refused, Appended, Refused, Appended]
    assert outcomes[1] is outcomes[3] is Refused.CONFLICT
    assert await positions(owner, "alice") == [1, 2, 3]
    assert await positions(owner, "bob") == [1]


@pytest.mark.parametrize("expected", [0, 1, 3, 4])
async def test_only_the_version_that_a_task_is_at_is_accepted(writer: Database, expected: int) -> None:
    task = await created(writer, "alice")
    await appended(writer, of("alice", TaskCompleted(), task=task, expected=1))
    (outcome,) = await append(writer, [of("alice", TaskReopened(), task=task, expected=expected)])
    assert outcome is Refused.CONFLICT


async def test_a_command_that_was_decided_on_a_refused_one_is_refused_with_it(
    writer: Database, owner: asyncpg.Connection
) -> None:
    """The third command was decided on the result of the first two; its version fits only by coincidence."""
    task = await created(writer, "alice")
    await appended(writer, of("alice", TaskEdited(title="Oat"), TaskCompleted(), task=task, expected=1))
    outcomes = await append(
        writer,
        [
            of("alice", TaskCompleted(), task=task, expected=1),
            of("alice", TaskReopened(), task=task, expected=2),
            of("alice", TaskCompleted(), task=task, expected=3),
            of("alice"),
        ],
    )
    assert outcomes[:3] == [Refused.CONFLICT] * 3
    assert isinstance(outcomes[3], Appended)
    assert await positions(owner, "alice") == [1, 2, 3, 4]


async def test_all_events_of_a_command_are_appended_or_none(writer: Database, owner: asyncpg.Connection) -> None:
    task = await created(writer, "alice")
    command = of("alice", TaskEdited(title="Oat"), TaskCompleted(), task=task, expected=2)
    assert await append(writer, [command]) == [Refused.CONFLICT]
    assert await positions(owner, "alice") == [1]


async def test_a_refused_command_leaves_no_trace_of_a_new_user(writer: Database, owner: asyncpg.Connection) -> None:
    assert await append(writer, [of("ghost", TaskCompleted(), task=7, expected=1)]) == [Refused.CONFLICT]
    assert await owner.fetchval("SELECT count(*) FROM tasklog.streams") == 0


async def test_a_held_stream_is_not_waited_for_and_others_go_on(writer: Database, owner: asyncpg.Connection) -> None:
    await appended(writer, of("held"))
    async with owner.transaction():
        await owner.execute("SELECT FROM tasklog.streams WHERE user_id = 'held' FOR UPDATE")
        outcomes = await within(8, append(writer, [of("alice"), of("held"), of("zoe")]))
        assert [outcome is Refused.BUSY for outcome in outcomes] == [False, True, False]
    await appended(writer, of("held"))
    assert await positions(owner, "held") == [1, 2]


async def test_a_stream_that_two_transactions_begin_at_once_begins_once(
    writer: Database, database: Addresses, owner: asyncpg.Connection
) -> None:
    async with connections(database.owner, 1) as (first,):
        transaction = first.transaction()
        await transaction.start()
        await append(first, [of("new")])
        assert await within(8, append(writer, [of("new"), of("other")])) != [Refused.BUSY, Refused.BUSY]
        assert await append(writer, [of("new")]) == [Refused.BUSY]
        waiting = asyncio.create_task(append(writer, [of("new")], wait=True))
        await eventually_async(lambda: waits_for_lock(owner))
        await transaction.commit()
        (((event,), _),) = await within(20, waiting)
    assert event.position == 2
    assert await positions(owner, "new") == [1, 2]


async def test_whoever_begins_a_stream_after_a_rollback_begins_at_one(
    writer: Database, database: Addresses, owner: asyncpg.Connection
) -> None:
    async with connections(database.owner, 1) as (first,):
        transaction = first.transaction()
        await transaction.start()
        await append(first, [of("new")])
        waiting = asyncio.create_task(append(writer, [of("new")], wait=True))
        await eventually_async(lambda: waits_for_lock(owner))
        await transaction.rollback()
        (((event,), _),) = await within(20, waiting)
    assert event.position == 1


async def test_time_never_runs_backwards_within_a_stream(writer: Database, owner: asyncpg.Connection) -> None:
    """The clock of the stream's last event was an hour ahead; the next events are not before it."""
    await appended(writer, of("alice"))
    ahead = await owner.fetchval(
        "UPDATE tasklog.streams SET recorded_at = recorded_at + interval '1 hour' RETURNING recorded_at"
    )
    events = flat(await appended(writer, of("alice"), of("alice")))
    assert [event.recorded_at for event in events] == [ahead, ahead]


async def test_the_hash_chain_can_be_recomputed_with_nothing_but_sha256(
    writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "Älice", 'Milk "2 l" \\ 😀')
    await appended(writer, of("Älice", TaskEdited(description="a\nb"), TaskCompleted(), task=task, expected=1))
    previous = "0" * 64
    for row in await owner.fetch("SELECT * FROM tasklog.events ORDER BY position"):
        previous = link(previous, row)
        assert row["hash"].hex() == previous
    assert await owner.fetchval("SELECT encode(hash, 'hex') FROM tasklog.streams WHERE user_id = 'Älice'") == previous


async def test_an_event_says_who_did_it_by_which_request(writer: Database, owner: asyncpg.Connection) -> None:
    command = Append(
        user_id="alice",
        task_id=None,
        expected_version=0,
        events=(TaskCreated(title="Milk", description=None),),
        actor="alice's agent",
        request_id="r-1",
    )
    await appended(writer, command)
    row = await owner.fetchrow("SELECT metadata ->> 'actor', metadata ->> 'request_id' FROM tasklog.events")
    assert tuple(row) == ("alice's agent", "r-1")


@pytest.mark.parametrize("users", [1, 8, WRITERS])
async def test_many_writers_at_once_leave_no_hole(database: Addresses, owner: asyncpg.Connection, users: int) -> None:
    """Each writer acts like a process of its own. Every acknowledged event is stored, at the acknowledged position."""
    rounds = 6
    async with connections(database.writer, WRITERS) as writers:

        async def write(n: int) -> list[tuple[str, Recorded]]:
            user = f"user-{n % users}"
            return [(user, event) for _ in range(rounds) for event in flat(await appended(writers[n], of(user)))]

        acknowledged = flat(await asyncio.gather(*map(write, range(WRITERS))))
    assert len(acknowledged) == WRITERS * rounds
    for n in range(users):
        expected = list(range(1, WRITERS * rounds // users + 1))
        assert sorted(event.position for user, event in acknowledged if user == f"user-{n}") == expected
        assert await positions(owner, f"user-{n}") == expected
    backwards = (
        "SELECT count(*) FROM tasklog.events a JOIN tasklog.events b USING (user_id) "
        "WHERE a.position < b.position AND a.recorded_at > b.recorded_at"
    )
    assert await owner.fetchval(backwards) == 0


TAKE = "SELECT tasklog.take_head('held', true)"
INSERT = """
    SELECT tasklog.append_one(taken, nextval('tasklog.task_ids'), 1, gen_random_uuid(), 'task.created', 2::smallint,
                              '{"description":null,"title":"Late"}', '{}')
    FROM tasklog.take_head('held', true) AS taken
"""
MOVE = INSERT.replace("tasklog.append_one(", "tasklog.move_head(tasklog.append_one(").replace("'{}')", "'{}'))")


class Held(NamedTuple):
    """A statement of an append after which its transaction stays open, how it ends, and how many events it leaves."""

    at: str
    end: str
    late: int = 0


@pytest.mark.parametrize("begun", [0, 1], ids=["new stream", "old stream"])
@pytest.mark.parametrize(
    "held",
    [
        pytest.param(Held(TAKE, "COMMIT"), id="the head is taken"),
        pytest.param(Held(INSERT, "ROLLBACK"), id="an event is inserted and taken back"),
        pytest.param(Held(MOVE, "ROLLBACK"), id="the head is moved and taken back"),
        pytest.param(Held(MOVE, "COMMIT", late=1), id="the head is moved and committed late"),
    ],
)
async def test_a_transaction_held_open_in_an_append_hides_nothing_and_delays_nobody_else(
    writer: Database, projector: Database, owner: asyncpg.Connection, held: Held, begun: int
) -> None:
    """While it is open, others write and are projected; later events of its own stream wait for it."""
    await appended(writer, *[of("held")] * begun, of("alice"))
    await owner.execute("BEGIN")
    await owner.execute(held.at)
    outcomes = await within(8, append(writer, [of("alice"), of("held"), of("zoe")]))
    assert [outcome is Refused.BUSY for outcome in outcomes] == [False, True, False]
    await within(8, catch_up(projector))
    others = await projector.fetch("SELECT user_id FROM tasklog.tasks WHERE user_id <> 'held' ORDER BY user_id")
    assert [row["user_id"] for row in others] == ["alice", "alice", "zoe"]
    behind = asyncio.create_task(append(writer, [of("held")], wait=True))
    await owner.execute(held.end)
    await within(20, behind)
    await catch_up(projector)
    stream = list(range(1, begun + held.late + 2))
    assert await positions(owner, "held") == stream
    tasks = await owner.fetch("SELECT created_position FROM tasklog.tasks WHERE user_id = 'held' ORDER BY 1")
    assert [row["created_position"] for row in tasks] == stream

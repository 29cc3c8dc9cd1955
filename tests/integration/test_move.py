"""Moving users between two ledgers that are in use: nothing is lost, at no moment, whoever is killed.

Seen to fail: see each test.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from audit.departures import remove
from audit.move import MoveError
from audit.verify import verify
from command_api import group_commit
from command_api.group_commit import NotHereError
from domain.commands import CompleteTask, CreateTask, DeleteTask, EditTask
from domain.decide import TaskNotFoundError
from event_log.elsewhere import ElsewhereError, check_whereabouts
from event_log.erase import erase
from event_log.read import NoStreamError
from migrations.task_ids import bound_task_ids
from projector.catch_up import catch_up
from read_api.queries import TaskQuery, get_tasks, heads, lists
from read_api.reader import Reader
from tests.cells import (
    FIRST_IDS,
    SECOND_IDS,
    Place,
    check_all,
    create,
    done,
    go,
    moved,
)
from tests.ledger import connections, waits_for_lock, within
from tests.servers import eventually_async

ARRIVED_TASKS = "SELECT array_agg(task_id) FROM tasklog.arrived_tasks WHERE user_id = $1"
EVENTS = """
    SELECT position, task_id, version, event_id, type, data::text, metadata::text, recorded_at, hash, erased_digest
    FROM tasklog.events WHERE user_id = $1 ORDER BY position
"""


async def test_everything_of_a_user_comes_along(here: Place, there: Place, user: str) -> None:
    """Events to the byte, task ids, the trash, an idempotency key; new tasks get ids of the new ledger's range.

    Seen to fail without the copy of the keys.
    """
    tasks = [await create(here, user, f"task {n}") for n in range(3)]
    await here.run(user, EditTask(title="one"), tasks[0], key="edited")
    await here.run(user, DeleteTask(), tasks[1])
    await catch_up(here.projector)
    before = await here.sql.fetch(EVENTS, user)
    (head,) = await heads(here.reader, [user])
    done_ = await go(here, there, user)
    assert (done_.position, done_.hash[:12]) == (5, head.revision)
    assert await there.sql.fetch(EVENTS, user) == before
    assert await heads(there.reader, [user]) == [head]
    assert max(tasks) <= FIRST_IDS[1]
    repeated = await there.run(user, EditTask(title="one"), tasks[0], key="edited")
    assert repeated.receipt is not None
    assert repeated.receipt.position == 4
    assert SECOND_IDS[0] <= await create(there, user) <= SECOND_IDS[1]
    await there.keeper.fetch("SELECT tasklog.mend_task_ids()")
    assert SECOND_IDS[0] <= await create(there, user) <= SECOND_IDS[1]
    await check_all(here, there)


async def test_the_old_ledger_refuses_reads_and_writes_of_a_user_who_left(here: Place, there: Place, user: str) -> None:
    """Seen to fail without the look at departures in `take_head`, and in the statement of lists."""
    task = await create(here, user)
    await catch_up(here.projector)
    reader = Reader(here.reader)
    etag, _ = await reader.list(user, TaskQuery())
    await go(here, there, user)
    with pytest.raises(NotHereError):
        await within(20, here.run(user, CreateTask(title="x")))
    with pytest.raises(TaskNotFoundError):
        await within(20, here.run(user, CompleteTask(), task))
    with pytest.raises(ElsewhereError):
        await check_whereabouts(here.keeper, user)
    for known in (None, etag):
        with pytest.raises(ElsewhereError) as moved_:
            await reader.list(user, TaskQuery(), known)
        assert moved_.value.cell == "b"
    (answer,) = await get_tasks(here.reader, [(user, task)])
    assert isinstance(answer, ElsewhereError)
    assert await here.sql.fetchval("SELECT count(*) FROM tasklog.events WHERE user_id = $1", user) == 1


async def test_writers_go_on_while_the_move_runs_and_each_acknowledged_write_is_there_once(
    here: Place, there: Place, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four writers follow the user, as a gateway would, to and fro; one more user shares their batches.

    Seen to fail with the stream not locked while the rest is copied (FOR UPDATE left out of `_HOLD`).
    """
    monkeypatch.setattr(group_commit, "_LONGEST_WAIT_SECONDS", 100)  # however long a commit takes
    await create(here, user, "first")
    acknowledged: list[str] = ["first"]
    stop = asyncio.Event()

    async def write(number: int) -> None:
        n, place = 0, here
        while not stop.is_set():
            title = f"{number}-{n}"
            try:
                await place.run(user, CreateTask(title=title))
            except NotHereError:
                place = there if place is here else here
                continue
            acknowledged.append(title)
            n += 1

    async def write_beside() -> None:
        while not stop.is_set():
            await create(here, f"{user}-beside")

    writers = [asyncio.create_task(write(number)) for number in range(4)] + [asyncio.create_task(write_beside())]
    source, target = here, there
    for _ in range(4):
        await asyncio.sleep(0)
        await eventually_async(partial(_is_longer, acknowledged, len(acknowledged) + 20))
        done_ = await within(90, go(source, target, user))
        assert done_.held_seconds is not None
        source, target = target, source
    stop.set()
    await within(20, asyncio.gather(*writers))
    titles = await here.titles(user)
    assert sorted(titles) == sorted(acknowledged)
    assert await there.sql.fetchval("SELECT count(*) FROM tasklog.streams WHERE user_id = $1", user) == 0
    await check_all(here, there)


def _is_longer(written: list[str], number: int) -> bool:
    return len(written) > number


async def test_a_user_moves_back_and_the_chain_goes_on(here: Place, there: Place, user: str) -> None:
    """With the old rows still there, and with the old rows removed.

    Seen to fail with `mend_task_ids` looking at ids of other ranges.
    """
    first = await create(here, user, "first")
    await go(here, there, user)
    second = await create(there, user, "second")
    await go(there, here, user, "a")
    await here.keeper.fetch("SELECT tasklog.mend_task_ids()")
    third = await create(here, user, "third")
    assert (first <= FIRST_IDS[1], second >= SECOND_IDS[0], third <= FIRST_IDS[1]) == (True, True, True)
    await go(here, there, user)
    assert await remove(here.keeper, hours=0) >= 1
    assert await here.titles(user) == []
    await check_all(here, there)
    await go(there, here, user, "a")
    assert await here.titles(user) == ["first", "second", "third"]
    await check_all(here, there)
    assert await here.sql.fetchval(ARRIVED_TASKS, user) == [second]


async def test_a_range_may_change_whoever_came_and_left(here: Place, there: Place, user: str) -> None:
    """Tasks of the other range are no tasks of this ledger, whether their user is here again or has left.

    Seen to fail with those only noted that are new to the ledger, and with the rows of those who left looked at.
    """
    await create(here, user)
    await go(here, there, user)
    await create(there, user)
    for _ in range(2):
        await go(there, here, user, "a")
        await bound_task_ids(here.sql, (1, FIRST_IDS[1] - 1))
        await go(here, there, user)
        await bound_task_ids(here.sql, FIRST_IDS)


async def test_a_user_who_is_erased_while_the_stream_is_copied_is_erased_in_the_copy(
    here: Place, there: Place, user: str
) -> None:
    """The text has been copied when the user is erased. Seen to fail without the look for an erasure."""
    await create(here, user, "a secret")
    async with connections(here.where.owner, 1) as (eraser,):
        await eraser.execute("BEGIN")
        await eraser.execute("SELECT FROM tasklog.streams WHERE user_id = $1 FOR UPDATE", user)
        moving = asyncio.create_task(go(here, there, user))
        await eventually_async(lambda: waits_for_lock(eraser))
        await eraser.execute("SELECT tasklog.erase($1, 'operator', 'test')", user)
        await eraser.execute("COMMIT")
    await within(20, moving)
    rows = await there.sql.fetch(EVENTS, user)
    assert [row["type"] for row in rows] == ["task.created", "task.deleted", "stream.erased"]
    assert "secret" not in repr(rows)
    await check_all(here, there)
    with pytest.raises(NoStreamError):
        await erase(here.keeper, user, actor="operator", request_id="test")


async def test_an_arrival_that_was_lost_is_brought_again(here: Place, there: Place, user: str) -> None:
    """As after a target that was restored from a backup before the stream was opened."""
    await create(here, user)
    await go(here, there, user)
    await here.sql.execute("UPDATE tasklog.departures SET arrived_at = NULL WHERE user_id = $1", user)
    for table in ("streams", "events", "arrivals", "arrived_tasks", "checkpoints", "tasks"):
        await there.sql.execute(f"DELETE FROM tasklog.{table} WHERE user_id = $1", user)
    await go(here, there, user)
    assert await there.titles(user) == ["Milk"]
    await there.sql.execute("DELETE FROM tasklog.streams WHERE user_id = $1", user)
    with pytest.raises(MoveError, match="the other one does not have the stream"):
        await go(here, there, user)
    copied = "SELECT user_id, position, hash, recorded_at, now() FROM tasklog.events WHERE user_id = $1"
    await there.sql.execute(f"INSERT INTO tasklog.streams {copied}", user)


async def test_anchors_of_a_user_who_left_are_no_fault_in_the_old_ledger(here: Place, there: Place, user: str) -> None:
    await create(here, user)
    digest = await here.sql.fetchval("SELECT encode(hash, 'hex') FROM tasklog.streams WHERE user_id = $1", user)
    await go(here, there, user)
    for place in (here, there):
        report = await verify(place.keeper, anchors={user: {1: digest}})
        assert report.faults == []


async def test_the_command_says_where_the_user_is(here: Place, there: Place, user: str) -> None:
    await create(here, user)
    said = await asyncio.to_thread(moved, user, here.where, there.where)
    assert said.startswith(f"{user} is in b: position 1 has the same hash in both, ")
    again = await asyncio.to_thread(moved, user, here.where, there.where)
    assert again.startswith(f"{user} is in b: position 1 has the same hash in both, ")
    assert "waited" not in again
    wrong = await asyncio.to_thread(done, here.where, "move", user, code=2, MOVE_TO="c", CELLS=f"b={there.where.owner}")
    assert wrong == "A ledger is named by a Postgres URL, or by its name in CELLS (it has b).\n"
    nobody = await asyncio.to_thread(moved, "nobody", here.where, there.where, code=1)
    assert nobody == "The ledger has no stream of nobody.\n"


async def test_lists_of_users_who_are_here_are_read_without_a_look_at_moves(here: Place, user: str) -> None:
    """A lock on the tables of moves would stop it. Seen to fail with the look in each row of the statement."""
    task = await create(here, user)
    await catch_up(here.projector)
    async with connections(here.where.owner, 1) as (holder,):
        await holder.execute("BEGIN; LOCK TABLE tasklog.arrivals, tasklog.departures IN ACCESS EXCLUSIVE MODE")
        await within(8, lists(here.reader, [(user, TaskQuery())]))
        await within(8, get_tasks(here.reader, [(user, task)]))
        await within(8, here.run(user, CompleteTask(), task))
        await holder.execute("ROLLBACK")

"""Users named by wake-ups are projected at once, and keep their marks until the sweep."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from domain.events import TaskCompleted
from projector import catch_up as projection
from projector import woken as waking
from projector.lag import lag
from projector.woken import Woken, catch_up_by_name, sweep
from runtime.database import Database
from tests.ledger import appended, assert_projected, created, lived, of, projected

MARKS = "SELECT user_id, unprojected_since FROM tasklog.streams WHERE unprojected_since IS NOT NULL ORDER BY user_id"
PARKED = "SELECT user_id FROM tasklog.checkpoints WHERE parked_until IS NOT NULL"


async def marks(owner: asyncpg.Connection) -> dict[str, object]:
    """Return the marked users, and since when."""
    return {row["user_id"]: row["unprojected_since"] for row in await owner.fetch(MARKS)}


async def test_named_users_are_projected_and_others_wait_for_the_sweep(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    """Those named are new. Seen to fail: without `enrol` of those named, and with a claim of all marked."""
    await created(writer, "dave")
    await sweep(projector)
    for user in ("alice", "bob", "carol", "dave"):
        await created(writer, user)
    await catch_up_by_name(projector, ["alice", "nobody", "bob"], asyncio.Event())
    assert {user: len(tasks) for user, tasks in (await projected(owner)).items()} == {"alice": 1, "bob": 1, "dave": 1}
    await sweep(projector)
    found = {user: len(tasks) for user, tasks in (await projected(owner)).items()}
    assert found == {"alice": 1, "bob": 1, "carol": 1, "dave": 2}


async def test_a_mark_stays_from_event_to_event_until_the_sweep_clears_it(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    """So an append changes no indexed column of the head. Seen to fail: with the marks of named users cleared."""
    task = await created(writer, "alice")
    before = await marks(owner)
    await catch_up_by_name(projector, ["alice"], asyncio.Event())
    await appended(writer, of("alice", TaskCompleted(), task=task, expected=1))
    await catch_up_by_name(projector, ["alice"], asyncio.Event())
    assert await projected(owner) == {"alice": {task: ("Milk", True, 2)}}
    assert await marks(owner) == before
    assert before.keys() == {"alice"}
    await sweep(projector)
    assert await marks(owner) == {}


async def test_the_sweep_clears_marks_without_work_first_because_its_own_work_may_go_on(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While people sign up, it does not end. Seen to fail: with marks that are cleared after the work."""
    await created(writer, "alice")
    await catch_up_by_name(projector, ["alice"], asyncio.Event())
    found = []

    async def at_work(*_: object) -> int:
        found.append(await marks(owner))
        return 0

    monkeypatch.setattr(waking, "catch_up", at_work)
    await sweep(projector)
    assert found == [{}]


async def test_a_mark_without_work_is_no_lag_and_no_work(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    """Seen to fail: with the lag taken from the marks, and with a claim of all who are marked."""
    await created(writer, "alice")
    await catch_up_by_name(projector, ["alice"], asyncio.Event())
    await owner.execute("UPDATE tasklog.streams SET unprojected_since = now() - interval '1 hour'")
    assert tuple(await lag(projector)) == (0, 0.0, 0)
    assert await projection.project_batch(projector) == (0, 0, False)
    await created(writer, "alice")
    behind = await lag(projector)
    assert behind.events == 1
    assert 0 <= behind.seconds < 60


async def test_more_events_than_a_batch_takes_are_projected_to_the_end(
    projector: Database, writer: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: without `catch_up` behind a full batch."""
    monkeypatch.setattr(projection, "EVENTS_OF_A_USER", 4)
    monkeypatch.setattr(waking, "EVENTS_OF_A_USER", 4)
    made = await lived(writer, 5, 11)
    await catch_up_by_name(projector, [life.user for life in made], asyncio.Event())
    await sweep(projector)
    await assert_projected(owner, made)


async def test_a_refused_row_parks_its_user_alone_among_those_named(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("""
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cursed'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON tasklog.tasks
            FOR EACH ROW WHEN (new.user_id = 'user-2') EXECUTE FUNCTION public.refuse()
    """)
    made = await lived(writer, 5, 5)
    await catch_up_by_name(projector, [life.user for life in made], asyncio.Event())
    assert [row["user_id"] for row in await owner.fetch(PARKED)] == ["user-2"]
    assert (await projected(owner)).keys() == {life.user for life in made if life.tasks} - {"user-2"}


async def test_wake_ups_are_collected_until_they_are_taken() -> None:
    """Seen to fail: with the names of the last one alone."""
    woken = Woken()
    woken.heard(["alice", "bob"])
    woken.heard(["bob", "carol"])
    await woken.wait()
    assert woken.take() == {"alice", "bob", "carol"}
    woken.heard(["alice"])
    woken.heard(None)
    woken.heard(["bob"])
    assert woken.take() is None
    assert woken.take() == set()

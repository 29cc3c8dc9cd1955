"""A user with a bad event or row is visibly parked, and retried at growing intervals; everybody else is projected.

Seen to fail: with a failing user's error passed on, and with an unreadable event skipped.
"""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from domain.events import TaskCompleted
from projector.catch_up import catch_up
from runtime.database import Database
from tests.ledger import appended, assert_projected, created, lived, of, projected, within

PARKED = "SELECT user_id, attempts, error FROM tasklog.checkpoints WHERE parked_until IS NOT NULL"
DUE = "UPDATE tasklog.checkpoints SET parked_until = now() WHERE parked_until IS NOT NULL"
NOT_DUE = "UPDATE tasklog.checkpoints SET parked_until = now() + interval '1 hour' WHERE parked_until IS NOT NULL"
ATTEMPTS = "SELECT attempts FROM tasklog.checkpoints"
BREAK = "UPDATE tasklog.events SET type = 'task.renamed' WHERE user_id = 'bad' AND position = 2"
MEND = "UPDATE tasklog.events SET type = 'task.completed' WHERE user_id = 'bad' AND position = 2"


async def test_an_unreadable_event_parks_its_user_until_it_is_readable(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "bad")
    await appended(writer, of("bad", TaskCompleted(), task=task, expected=1), of("bad"))
    made = await lived(writer, 6, 10)
    await owner.execute(BREAK)
    assert await within(10, catch_up(projector)) == 61
    found = await projected(owner)
    assert found.pop("bad") == {task: ("Milk", False, 1)}, "up to the bad event, and nothing behind it"
    assert found == {life.user: life.tasks for life in made}
    (parked,) = await owner.fetch(PARKED)
    assert (parked["user_id"], parked["attempts"]) == ("bad", 1)
    assert "position 2" in parked["error"]

    await owner.execute(MEND)
    await owner.execute(DUE)
    assert await catch_up(projector) == 2
    assert (await projected(owner))["bad"][task] == ("Milk", True, 2)
    assert await owner.fetch(PARKED) == []


async def test_a_parked_user_is_tried_less_and_less_often(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "bad")
    await appended(writer, of("bad", TaskCompleted(), task=task, expected=1))
    await owner.execute(BREAK)
    for seconds in (1, 2, 4, 8, 16):
        await _assert_is_parked_for(seconds, projector, owner)
        assert await owner.fetchval(ATTEMPTS) == seconds.bit_length()
        await owner.execute(NOT_DUE)
        assert await catch_up(projector) == 0
        assert await owner.fetchval(ATTEMPTS) == seconds.bit_length()
        await owner.execute(DUE)
    await owner.execute("UPDATE tasklog.checkpoints SET attempts = 1000000")
    await _assert_is_parked_for(300, projector, owner)


async def _assert_is_parked_for(seconds: int, projector: Database, owner: asyncpg.Connection) -> None:
    """Check the time until which the user is parked."""
    before = await owner.fetchval("SELECT clock_timestamp()")
    await catch_up(projector)
    until, after = await owner.fetchrow("SELECT parked_until, clock_timestamp() FROM tasklog.checkpoints")
    assert before <= until - timedelta(seconds=seconds) <= after


async def test_a_missing_event_parks_its_user(projector: Database, writer: Database, owner: asyncpg.Connection) -> None:
    await appended(writer, of("bad"), of("bad"), of("bad"))
    await owner.execute("DELETE FROM tasklog.events WHERE position = 2")
    assert await catch_up(projector) == 1
    assert (await owner.fetch(PARKED))[0]["error"] == "position 3: position 3 follows 1"


async def test_a_row_that_the_database_refuses_parks_its_user_alone(
    projector: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("""
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cursed'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON tasklog.tasks
            FOR EACH ROW WHEN (new.user_id = 'user-7') EXECUTE FUNCTION public.refuse()
    """)
    made = await lived(writer, 20, 5)
    assert await within(20, catch_up(projector)) == 95
    parked = await owner.fetch(PARKED)
    assert [(row["user_id"], row["error"] == "RaiseError (P0001)") for row in parked] == [("user-7", True)]
    await owner.execute("DROP TRIGGER refuse ON tasklog.tasks")
    await owner.execute(DUE)
    assert await catch_up(projector) == 5
    await assert_projected(owner, made)

"""Moves between two ledgers that are killed at each of their steps: the next move finishes them."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import asyncpg
import pytest

from audit.departures import moving_users
from command_api.group_commit import NotHereError
from domain.commands import CreateTask
from tests.cells import Place, check_all, create, moved, started
from tests.ledger import connections, waits_for_lock
from tests.servers import eventually_async


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a move is stopped, by locks of which each is taken when the one before it holds the move up.

    `arriving` and `left` tell what each ledger then says of the user.
    """

    locks: tuple[tuple[str, str], ...]
    arriving: bool = False
    left: bool = False


HELD = "LOCK TABLE tasklog.{} IN EXCLUSIVE MODE"
STEPS = {
    "while the events are copied": Step(locks=(("there", "events"),)),
    "before the target commits": Step(locks=(("there", "arrivals"),)),
    "before the source closes the stream": Step(locks=(("here", "departures"),), arriving=True),
    "before the target opens the stream": Step(locks=(("there", "streams"),), arriving=True, left=True),
    "before the source knows that it is open": Step(locks=(("there", "streams"), ("here", "departures")), left=True),
}


@pytest.mark.parametrize("name", STEPS)
async def test_a_move_that_is_killed_is_finished_by_the_next_one(
    here: Place, there: Place, user: str, name: str
) -> None:
    """At each moment one ledger at most takes writes; before the second step it is the old one, which goes on at once.

    Seen to fail with arrivals that count as here at once.
    """
    step, titles = STEPS[name], ["before"]
    await create(here, user, "before")
    with started(here.where, "move", user, "--cell", "b", MOVE_TO=there.where.owner) as process:
        async with AsyncExitStack() as stack:
            before: asyncpg.Connection | None = None
            for place, table in step.locks:
                where = (here if place == "here" else there).where
                (holder,) = await stack.enter_async_context(connections(where.owner, 1))
                await holder.execute(f"BEGIN; {HELD.format(table)}")
                if before is not None:
                    await before.execute("ROLLBACK")
                await eventually_async(partial(waits_for_lock, holder), 90)  # the command starts first
                before = holder
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    assert await whereabouts(there, user) == ("arriving" if step.arriving else None)
    assert await whereabouts(here, user) == ("left b" if step.left else None)
    if step.arriving:
        with pytest.raises(NotHereError):
            await there.run(user, CreateTask(title="too early"))
    if step.left:
        with pytest.raises(NotHereError):
            await here.run(user, CreateTask(title="too late"))
    else:
        await create(here, user, "after the kill")  # waits until Postgres has noticed the kill
        titles.append("after the kill")
    await asyncio.to_thread(moved, user, here.where, there.where)
    assert await there.titles(user) == titles
    await create(there, user, "at last")
    assert (await moving_users(here.keeper))["unconfirmed"] == 0
    await check_all(here, there)


async def whereabouts(place: Place, user: str) -> str | None:
    """Return what a ledger says of a user who is not in it, once no command works on its moves any more."""
    await place.sql.execute("BEGIN; LOCK TABLE tasklog.arrivals, tasklog.departures IN SHARE MODE; COMMIT")
    found: str | None = await place.sql.fetchval("SELECT tasklog.elsewhere($1)", user)
    return found

"""Scenarios that are more than a list of faults, and what must hold in them besides the promises to all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.events import TaskCreated
from event_log.append import Append, append
from runtime.database import open_database
from runtime.settings import Settings
from tests.chaos.checker import PLANTED, Violation
from tests.chaos.ledger import lagging
from tests.chaos.world import World

PLANT: Final = """
    SELECT "position" FROM tasklog.append(ARRAY[0], ARRAY[$1], ARRAY[NULL::bigint], ARRAY[1], ARRAY[gen_random_uuid()],
        ARRAY['task.exploded'], ARRAY[1::smallint], ARRAY['{}'], ARRAY[$2], ARRAY[NULL], ARRAY[NULL::bytea], true)
"""
_BACKLOG_USERS: Final = 4
_BATCH: Final = 500


def plant_impossible_events(world: World, rng: random.Random, seconds: float) -> None:
    """Add events of an unknown type to the streams of two users who go on working."""
    end = time.monotonic() + min(seconds, 20)
    world.pause(1)
    for user in ("user0", "user1"):
        world.parked |= {user}
        world.execute(PLANT, user, f'{{"nonce":"00","request_id":"{PLANTED}{user}"}}')
        world.faults += 1
        world.pause(rng.uniform(0.5, 1.5))
    world.pause(end - time.monotonic())


def the_others_go_on(world: World) -> Iterator[Violation]:
    """Check that those users are visibly parked right before the event, and nobody else is behind."""
    rows = world.execute("""
        SELECT e.user_id, e.position, c.position AS projected, c.attempts, c.error FROM tasklog.events e
        JOIN tasklog.checkpoints c USING (user_id) WHERE e.type = 'task.exploded'""")
    for row in rows:
        if row["projected"] != row["position"] - 1 or not row["attempts"] or not row["error"]:
            yield Violation("a user who cannot be projected is parked", row["user_id"], str(dict(row)))
    answered = [one for one in world.load.history if one.user == "user2" and one.is_acknowledged]
    if len(rows) != len(world.parked) or not answered:
        yield Violation("a user who cannot be projected is parked", "all", f"{len(rows)} events planted")


def project_backlog(world: World, _rng: random.Random, _seconds: float, *, events: int) -> None:
    """Stop the projector while 20,000 events arrive, and start it again; the usual limit of the lag applies."""
    (projector,) = world.projectors
    world.resting.add(projector)
    projector.stop(timeout=5)
    asyncio.run(_append_backlog(world.url, events))
    world.faults += 1
    world.pause(2)
    behind = asyncio.run(lagging(world.url))
    if len(behind) < _BACKLOG_USERS:
        world.complain("the fault was there", f"the backlog was gone before a projector was there: {behind}")
    world.resting.discard(projector)
    projector.start()


async def _append_backlog(url: str, events: int) -> None:
    async with open_database(Settings(_env_file=None, database_url=url), "owner") as database:
        for first in range(0, events, _BATCH):
            await append(database, [_creation(n) for n in range(first, first + _BATCH)], wait=True)


def _creation(n: int) -> Append:
    user = f"backlog{n % _BACKLOG_USERS}"
    return Append(
        user_id=user,
        task_id=None,
        expected_version=0,
        events=(TaskCreated(title=f"backlog {n}", description=None),),
        actor=user,
        request_id=f"{PLANTED}{n}",
    )


def all_accepted_are_answered(world: World) -> Iterator[Violation]:
    """Check that no client was cut whose write is in the ledger."""
    rows = world.execute("SELECT metadata->>'request_id' AS marker FROM tasklog.events")
    recorded = {row["marker"] for row in rows}
    for operation in world.load.history:
        if operation.status is None and not operation.gave_up and operation.marker in recorded:
            yield Violation("every accepted request is answered", operation.user, str(operation))


def the_disk_was_full(world: World) -> Iterator[Violation]:
    """Check that Postgres reported a full disk; otherwise nothing was tested."""
    if "No space left on device" not in (world.directory / "postgres.log").read_text(errors="replace"):
        yield Violation("the fault was there", "all", "Postgres never ran out of space")


def answers_were_lost(world: World) -> Iterator[Violation]:
    """Check that answers to commits of clients and of the projector were lost; otherwise nothing was tested."""
    for name, proxy in (("gateway", world.gateway_proxy), ("projector", world.projector_proxy)):
        if proxy.lost == 0:
            yield Violation("the fault was there", "all", f"no answer to a commit of the {name} was lost")


def the_clock_jumped(world: World) -> Iterator[Violation]:
    """Check that the ledger has times that are an hour ahead; otherwise nothing was tested."""
    (row,) = world.execute("SELECT max(recorded_at) AS newest FROM tasklog.events")
    if row["newest"] is None or row["newest"] < datetime.now(UTC) + timedelta(minutes=50):
        yield Violation("the fault was there", "all", "no event was recorded an hour ahead")

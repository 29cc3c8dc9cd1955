"""A small database that grows: its statistics are from when it was small, and its connections stay open."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from tests.chaos.history import Operation
from tests.chaos.http_client import HttpConnection
from tests.chaos.load import User
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.world import World
from tests.servers import eventually

SLOWER: Final = 1.3
"""How many times as long as the first sign-ups the last ones may take."""
LAG_SECONDS: Final = 1.0

_SMALL_USERS: Final = 19
"""With the five users of the load and the probe there are 25."""
_SIGN_UPS: Final = 20_000
_SIGN_UPS_A_SECOND: Final = 200
_CLIENTS: Final = 16
_MEASURED: Final = 1000
_NEW_AND_WAITING: Final = """
    -- The load goes on, so that some mark of its users is always set; these users' one event is projected once.
    SELECT s.user_id FROM tasklog.streams s WHERE s.user_id LIKE 'new%' AND s.head > coalesce(
        (SELECT c.position FROM tasklog.checkpoints c WHERE c.user_id = s.user_id), 0)
"""
LAG: Final = """
    -- For how long the oldest unprojected event has waited. A mark alone is no work: it stays for up to a second.
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded_at)), 0)::float8 AS lag
    FROM (SELECT s.user_id, s.head FROM tasklog.streams s WHERE s.unprojected_since IS NOT NULL OFFSET 0) AS s
    CROSS JOIN LATERAL (SELECT coalesce(max(c.position), 0) AS position FROM tasklog.checkpoints c
                        WHERE c.user_id = s.user_id) AS c
    CROSS JOIN LATERAL (SELECT e.recorded_at FROM tasklog.events e
                        WHERE e.user_id = s.user_id AND e.position = c.position + 1 OFFSET 0) AS e
    WHERE s.head > c.position
"""
_SCANS: Final = """
    SELECT relname, seq_scan FROM pg_stat_user_tables
    WHERE schemaname = 'tasklog' AND relname IN ('streams', 'events', 'checkpoints', 'tasks')
"""


def grow(world: World, _: random.Random, seconds: float) -> None:
    """Collect statistics of 25 users, then add up to 20,000: sign-ups must stay as fast, and use no scan."""
    number = int(min(_SIGN_UPS, seconds * _SIGN_UPS_A_SECOND))
    users = (User(name=f"new{n}") for n in count())
    _sign_up(world, users, _SMALL_USERS)
    eventually(lambda: world.execute(_NEW_AND_WAITING) == [])
    world.execute_script("ANALYZE tasklog.streams, tasklog.events, tasklog.checkpoints, tasklog.tasks")
    world.pause(1.5)  # until earlier scans are in the statistics
    before = _scans(world)
    signed, lag = _sign_up(world, users, number)
    world.pause(1.5)
    scans = {table: scans - before[table] for table, scans in _scans(world).items()}
    scans["events"] -= len(world.projectors)  # each projector looks for the highest id once, at its start
    scans = {table: number for table, number in scans.items() if number > 0}
    world.faults += 1
    measured = min(_MEASURED, number // 3)
    first, last = _median(signed[:measured]), _median(signed[-measured:])
    world.notes.append(f"{number} sign-ups: {first * 1000:.1f} ms, at last {last * 1000:.1f} ms; lag {lag:.2f} s")
    if last > SLOWER * world.patience * first:
        world.complain("the last sign-up is as fast as the first", f"{first:.4f} s, then {last:.4f} s")
    if lag > LAG_SECONDS * world.patience:
        world.complain("the projection keeps up with sign-ups", f"{lag:.1f} s behind")
    if scans:
        world.complain("no service scans a table", str(scans))


def scan_tables(world: World, rng: random.Random, seconds: float) -> None:
    """Planted: make a service scan a table while the database grows."""
    world.execute_script("""
        CREATE FUNCTION tasklog.chaos() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET enable_indexscan = off
        SET enable_indexonlyscan = off SET enable_bitmapscan = off AS
        'BEGIN PERFORM FROM tasklog.streams WHERE user_id = new.user_id; RETURN NULL; END';
        CREATE TRIGGER chaos AFTER INSERT ON tasklog.events FOR EACH ROW EXECUTE FUNCTION tasklog.chaos()""")
    grow(world, rng, seconds)


def _scans(world: World) -> dict[str, int]:
    return {row["relname"]: row["seq_scan"] for row in world.execute(_SCANS)}


def _median(operations: Sequence[Operation]) -> float:
    return statistics.median(one.returned - one.invoked for one in operations)


def _sign_up(world: World, users: Any, number: int) -> tuple[list[Operation], float]:
    """Sign up `number` users; return their requests in order, and the greatest lag meanwhile, in seconds."""
    done: list[Operation] = []
    arriving = _arrive(world, users, number, done)
    future = asyncio.run_coroutine_threadsafe(arriving, world.background.loop)
    lag = 0.0
    while not future.done():
        lag = max(lag, world.execute(LAG)[0]["lag"])
        world.pause(0.2)
    future.result()
    return sorted(done, key=lambda one: one.invoked), lag


async def _arrive(world: World, users: Any, number: int, done: list[Operation]) -> None:
    """Let `number` users add their first task, over connections that are kept open."""
    left = iter(range(number))

    async def client() -> None:
        connection = HttpConnection(world.load.ports[0])
        for _ in left:
            user = next(users)
            operation = Operation(user=user.name, kind="create", marker=user.marker(), body={"title": "First"})
            await world.load.perform(connection, user, operation)
            done.append(operation)
        connection.close()

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


GROWTH: Final[dict[str, Scenario]] = {
    "sign-ups": Scenario(body=grow, weight=2, options=Options(postgres={"autovacuum": "off"}, users=5, clients=1)),
}

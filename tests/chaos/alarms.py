"""Alerts beside faults: a real Prometheus scrapes the services, and its alerts tell of each fault while it lasts.

The rules are those of docs/operate/alerts.yml, in a hurry: each `for` and each window is `HURRY` times as short
(tests/prometheus.py), and a scrape comes each second. Bounds stay as they are: 30 s of lag are 30 s.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from itertools import chain
from typing import Final, TypeAlias

import asyncpg

from tests.chaos.alarms_world import Alarm, AlarmedStandbyWorld, AlarmedWorld, needs_prometheus
from tests.chaos.checker import PLANTED, Violation
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.replicas import execute
from tests.chaos.scenario import Scenario
from tests.chaos.special import PLANT
from tests.chaos.world import World

Causing: TypeAlias = Callable[[AlarmedWorld], AbstractContextManager[None]]
"""A fault that lasts while its block runs."""

_ENDS_SECONDS: Final = 20.0
"""How soon an alert must end after its fault, in seconds: windows are 6 s, and a projector starts in a second."""
_BUSY: Final = frozenset(
    {"TasklogSlowReads", "TasklogSlowWrites", "TasklogErrors", "TasklogProcessDown", "TasklogProjectionLate"}
)
"""Alerts that a busy machine or the healing may cause beside a fault of another kind."""
_BUSY_PROJECTOR: Final = frozenset({"TasklogProcessDown", "TasklogProjectorDown"})
"""A busy projector that does not answer a scrape in time causes both of these, never the second one alone."""

_DOOMED: Final = "doomed"
"""The user of the impossible event, of whom nothing is left afterwards."""


def told_by(*alerts: str, within: float) -> Callable[[Causing], Fault]:
    """Make a fault of what lasts while a block runs: until each of these alerts fires, or `within` seconds are over."""

    def decorate(cause: Causing) -> Fault:
        @wraps(cause, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        def fault(world: World, _: random.Random) -> bool:
            assert isinstance(world, AlarmedWorld)
            calm = Alarm(fault="nothing", alerts=frozenset())
            world.watch(calm, lambda: not calm.firing, _ENDS_SECONDS)
            if calm.firing:
                world.complain("no alert fires without a fault", ", ".join(sorted(calm.firing)))
            alarm = Alarm(fault=cause.__name__, alerts=frozenset(alerts))
            world.alarms.append(alarm)
            with cause(world):
                world.watch(alarm, lambda: alarm.alerts <= alarm.fired.keys(), within)
            healed = time.monotonic()
            world.watch(alarm, lambda: not alarm.firing, _ENDS_SECONDS)
            alarm.ended_seconds = time.monotonic() - healed
            world.notes.append(str(alarm))
            return True

        return fault

    return decorate


@told_by("TasklogProjectorDown", "TasklogProcessDown", within=15)
@contextmanager
def no_projector(world: AlarmedWorld) -> Iterator[None]:
    """Kill the only projector, and start none."""
    (projector,) = world.projectors
    assert projector.process is not None
    world.resting.add(projector)
    projector.process.kill()
    projector.process.wait(10)
    yield
    projector.start()
    world.resting.discard(projector)


@told_by("TasklogProcessDown", within=15)
@contextmanager
def frozen_gateway(world: AlarmedWorld) -> Iterator[None]:
    """Stop the gateway's process, as a debugger does."""
    (gateway,) = world.gateways
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGSTOP)
    yield
    gateway.process.send_signal(signal.SIGCONT)


@contextmanager
def _database_away(world: AlarmedWorld) -> Iterator[None]:
    proxies = (world.gateway_proxy, world.projector_proxy)
    for proxy in proxies:
        world.background.run(proxy.close())
    yield
    for proxy in proxies:
        world.background.run(proxy.open())


@told_by("TasklogDatabaseUnreachable", "TasklogErrors", within=30)
@contextmanager
def no_database(world: AlarmedWorld) -> Iterator[None]:
    """Refuse connections to Postgres, and cut those that are open."""
    with _database_away(world):
        yield


@told_by("TasklogDatabaseUnreachable", within=10)
@contextmanager
def no_database_soon(world: AlarmedWorld) -> Iterator[None]:
    """Do the same for a shorter time: before the errors that it causes are an alert of their own."""
    with _database_away(world):
        yield


@told_by("TasklogRedisUnreachable", within=25)
@contextmanager
def no_redis(world: AlarmedWorld) -> Iterator[None]:
    """Refuse connections to Redis, and cut those that are open."""
    world.background.run(world.redis_proxy.close())
    yield
    world.background.run(world.redis_proxy.open())


@told_by("TasklogSlowWrites", "TasklogSlowReads", within=45)
@contextmanager
def slow_database(world: AlarmedWorld) -> Iterator[None]:
    """Delay what goes to and from Postgres, so that each statement takes over a second."""
    world.background.call(world.gateway_proxy.delay, 0.6)
    yield
    world.background.call(world.gateway_proxy.delay, 0.0)


@told_by("TasklogProjectionLate", within=60)
@contextmanager
def locked_checkpoint(world: AlarmedWorld) -> Iterator[None]:
    """Lock a user's checkpoint, as a transaction does that somebody forgot: this user is not projected."""
    holder = world.background.run(asyncpg.connect(world.url))
    lock = "BEGIN; SELECT FROM tasklog.checkpoints WHERE user_id = 'user0' FOR UPDATE"
    world.background.run(holder.execute(lock))
    yield
    world.background.run(holder.close())


@told_by("TasklogUserParked", within=20)
@contextmanager
def impossible_event(world: AlarmedWorld) -> Iterator[None]:
    """Give a new user an event that cannot be projected, and remove the user afterwards."""
    world.execute(PLANT, _DOOMED, f'{{"nonce":"00","request_id":"{PLANTED}{_DOOMED}"}}')
    yield
    for table in ("streams", "events", "checkpoints"):
        world.execute(f"DELETE FROM tasklog.{table} WHERE user_id = $1", _DOOMED)


@told_by("TasklogStandbyUnused", within=30)
@contextmanager
def no_standby(world: AlarmedWorld) -> Iterator[None]:
    """Refuse connections to the standby, and cut those that are open."""
    assert isinstance(world, AlarmedStandbyWorld)
    proxy = world.standby_address
    world.background.run(proxy.close())
    yield
    world.background.run(proxy.open())


@told_by("TasklogStandbyLate", within=45)
@contextmanager
def late_standby(world: AlarmedWorld) -> Iterator[None]:
    """Let the standby replay nothing: it answers what it has, and learns nothing new."""
    assert isinstance(world, AlarmedStandbyWorld)
    execute(world.standby.postgres, "SELECT pg_wal_replay_pause()")
    yield
    execute(world.standby.postgres, "SELECT pg_wal_replay_resume()")


def alerts_tell(world: World) -> Iterator[Violation]:
    """Check that each fault had its alerts, that they ended with it, and that no other fault was told of."""
    assert isinstance(world, AlarmedWorld)
    yield from chain.from_iterable(map(check_alarm, world.alarms))


def check_alarm(alarm: Alarm) -> Iterator[Violation]:
    """Check what was seen of the alerts during a fault, and after it."""
    for name in sorted(alarm.alerts - alarm.fired.keys()):
        yield Violation("an alert tells of a fault", alarm.fault, f"{name} did not fire")
    for name in sorted(alarm.firing):
        yield Violation("an alert ends with its fault", alarm.fault, f"{name} still fired after it")
    tolerated = _BUSY | _BUSY_PROJECTOR if alarm.fired.keys() >= _BUSY_PROJECTOR else _BUSY
    for name in sorted(alarm.fired.keys() - alarm.alerts - tolerated):
        yield Violation("an alert tells of the right fault", alarm.fault, f"{name} fired, too")


_SHORT: Final = (no_projector, no_database)
_FAULTS: Final = (
    no_projector,
    impossible_event,
    no_redis,
    frozen_gateway,
    no_database,
    slow_database,
    locked_checkpoint,
)

ALARMS: Final[dict[str, Scenario]] = {
    "alerts": Scenario(
        faults=_FAULTS,
        count=len(_FAULTS),
        pause=0.1,
        weight=5,
        world=AlarmedWorld,
        needs=needs_prometheus,
        check=alerts_tell,
    ),
    "alerts-of-a-standby": Scenario(
        faults=(no_standby, late_standby),
        count=2,
        pause=0.1,
        weight=2,
        world=AlarmedStandbyWorld,
        options=Options(clients=1),
        needs=needs_prometheus,
        check=alerts_tell,
    ),
    "short-alerts": Scenario(
        faults=_SHORT,
        count=len(_SHORT),
        pause=0.1,
        weight=0,
        world=AlarmedWorld,
        needs=needs_prometheus,
        check=alerts_tell,
    ),
}

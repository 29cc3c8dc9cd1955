"""The database's address leads elsewhere: to a promoted standby, to a replica, to a read-only database.

The proxies are the address. The standbys are real; see tests/standby.py and replicas.py.
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from functools import wraps
from typing import Final

from tasklog.embedded.postgres import Postgres
from tests.chaos.growth import LAG
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.replicas import be_synchronous, configure, demote, execute, send_all
from tests.chaos.scenario import Scenario
from tests.chaos.world import HEALTHY_SECONDS, UnhealthyError, World
from tests.standby import Standby, running_standby

_DURABLE: Final = {"fsync": "on"}
_EVENTS: Final = "SELECT count(*) FROM tasklog.events"
_LATE_SECONDS: Final = 2.0
"""While an event has waited for its projection for longer than this, in seconds, the projector does not go on yet."""
_LAG_SECONDS: Final = 10.0
_CUT_SERVICES: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tasklog_%'"
_SET_READ_ONLY: Final = "BEGIN READ WRITE; ALTER DATABASE tasklog {} default_transaction_read_only{}; COMMIT"


class ReplicatedWorld(World):
    """A world whose Postgres gets a standby whenever a fault needs one.

    `others` are servers that are not the primary, or no longer. They run until the next fault, so that services must
    notice by themselves that they are connected to the wrong one.
    """

    def open(self) -> None:
        """Start everything; closing the world also ends the standbys."""
        self.others = self._stack.enter_context(ExitStack())
        self.standbys = 0
        super().open()

    def make_standby(self, *, synchronous: bool) -> Standby:
        """End the servers of the previous fault, and start a standby that has caught up."""
        self.others.close()
        self.standbys += 1
        directory = self.directory / f"standby{self.standbys}"
        standby = self._stack.enter_context(running_standby(self.postgres, directory, _DURABLE))
        if synchronous:
            be_synchronous(self.postgres)
        standby.catch_up()
        return standby

    def lead_to(self, server: Postgres, *, cut: bool) -> None:
        """Move the address to another server; open connections are cut, or stay where they are."""
        for proxy in (self.gateway_proxy, self.projector_proxy):
            self.background.call(proxy.lead_new_to, f"{server._sockets}/.s.PGSQL.5432")
            if cut:
                self.background.call(proxy.cut)

    def make_primary(self, standby: Standby) -> Postgres:
        """Promote the standby to the world's Postgres; return the old primary, which is not restarted."""
        standby.promote()
        old, self.postgres = self.postgres, standby.postgres
        self.resting.discard(old)
        return old


def heals(fault: Fault) -> Fault:
    """Return the fault with a check that the services heal by themselves before the next one."""

    @wraps(fault)
    def healed(world: World, rng: random.Random) -> bool:
        happened = fault(world, rng)
        began = time.monotonic()
        try:
            world.wait_until_healthy(HEALTHY_SECONDS * world.patience)
        except UnhealthyError as error:
            world.complain("it heals by itself", f"{fault.__name__}: {error}")
        while world.execute(LAG)[0]["lag"] > _LATE_SECONDS:
            if time.monotonic() - began > _LAG_SECONDS * world.patience:
                world.complain("the projector goes on", f"{fault.__name__}: not within {_LAG_SECONDS:.0f} s")
                break
            world.pause(0.1)
        return happened

    return healed


def _begin(world: World, rng: random.Random, *, synchronous: bool = True) -> tuple[ReplicatedWorld, Standby]:
    assert isinstance(world, ReplicatedWorld)
    standby = world.make_standby(synchronous=synchronous)
    world.pause(rng.uniform(0.2, 1))
    world.resting.add(world.postgres)
    return world, standby


@heals
def fail_over_from_killed(world: World, rng: random.Random) -> bool:
    """Kill the primary's machine; the synchronous standby takes over."""
    world, standby = _begin(world, rng)
    _kill(world.postgres)
    world.make_primary(standby)
    world.lead_to(standby.postgres, cut=True)
    return True


@heals
def fail_over_from_frozen(world: World, rng: random.Random) -> bool:
    """Freeze the primary; connections to it stay open until it is fenced."""
    world, standby = _begin(world, rng)
    send_all(world.postgres, signal.SIGSTOP)
    old = world.make_primary(standby)
    world.lead_to(standby.postgres, cut=False)
    world.pause(rng.uniform(1, 3))
    _kill(old)
    return True


@heals
def fail_over_from_read_only(world: World, rng: random.Random) -> bool:
    """Switch over as planned: the old primary stays up read-only; the address follows two seconds later."""
    world, standby = _begin(world, rng)
    configure(world.postgres, default_transaction_read_only="on")
    execute(world.postgres, _CUT_SERVICES)
    standby.catch_up()
    old = world.make_primary(standby)
    world.others.callback(old.stop, timeout=5)
    world.pause(2)
    world.lead_to(standby.postgres, cut=False)
    return True


@heals
def fail_over_from_demoted(world: World, rng: random.Random) -> bool:
    """Bring the old primary back as a replica; the address leads to it for some seconds, and it stays up."""
    world, standby = _begin(world, rng)
    world.postgres.stop(timeout=30)
    old = world.make_primary(standby)
    demote(old, standby.postgres)
    world.others.callback(old.stop, timeout=5)
    world.pause(rng.uniform(2, 3))
    world.lead_to(standby.postgres, cut=False)
    return True


@heals
def fail_over_with_loss(world: World, rng: random.Random) -> bool:
    """Fail over to a standby that lacks the last commits: earlier acknowledged writes may be lost, later ones not."""
    world, standby = _begin(world, rng, synchronous=False)
    standby.fall_behind()
    world.pause(rng.uniform(0.5, 1.5))
    written = execute(world.postgres, _EVENTS)[0][0]
    _kill(world.postgres)
    world.make_primary(standby)
    world.lead_to(standby.postgres, cut=True)
    world.forgiven_until = time.monotonic()
    return bool(execute(standby.postgres, _EVENTS)[0][0] < written)


@heals
def lead_to_replica(world: World, rng: random.Random) -> bool:
    """Lead the address to a streaming replica for some seconds, then back; the replica stays up."""
    assert isinstance(world, ReplicatedWorld)
    standby = world.make_standby(synchronous=False)
    world.lead_to(standby.postgres, cut=True)
    world.pause(rng.uniform(2, 5))
    world.lead_to(world.postgres, cut=False)
    return True


@heals
def be_read_only(world: World, _: random.Random) -> bool:
    """Make the database read-only for a while; no connection is cut when it becomes writable again."""
    world.execute_script(_SET_READ_ONLY.format("SET", " = on"))
    cut = world.execute(_CUT_SERVICES)
    world.pause(6)
    world.execute_script(_SET_READ_ONLY.format("RESET", ""))
    return bool(cut)


def stay_read_only(world: World, _: random.Random) -> bool:
    """Planted: make the database read-only for good."""
    world.execute_script(_SET_READ_ONLY.format("SET", " = on"))
    return bool(world.execute(_CUT_SERVICES))


def lose_unforgiven(world: World, rng: random.Random) -> bool:
    """Planted: treat a standby that lacks commits as one that has them all."""
    happened = fail_over_with_loss(world, rng)
    world.forgiven_until = 0.0
    return happened


def _kill(server: Postgres) -> None:
    send_all(server, signal.SIGKILL)
    assert server.process is not None
    server.process.wait(10)


_SHORT: Final = (fail_over_from_killed, fail_over_with_loss, lead_to_replica, be_read_only)

FAILOVER: Final[dict[str, Scenario]] = {
    "short-fail-over": Scenario(
        faults=_SHORT,
        count=len(_SHORT),
        pause=0.1,
        weight=0,
        world=ReplicatedWorld,
        options=Options(gateways=2, roams=True),
    ),
    "fail-over": Scenario(
        faults=(fail_over_from_killed, fail_over_from_demoted, fail_over_from_read_only, fail_over_from_frozen),
        count=12,
        pause=3,
        weight=2,
        world=ReplicatedWorld,
        options=Options(gateways=2, projectors=2),
    ),
    "fail-over-with-loss": Scenario(
        faults=(fail_over_with_loss,),
        count=6,
        pause=3,
        world=ReplicatedWorld,
        options=Options(gateways=2, roams=True),
    ),
    "lead-to-replica": Scenario(faults=(lead_to_replica,), count=6, pause=3, world=ReplicatedWorld),
    "read-only": Scenario(faults=(be_read_only,), count=4, pause=5),
}

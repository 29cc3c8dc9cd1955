"""Reads on a standby that lags, is cut off, freezes, dies or is promoted; all services know both addresses.

No address moves: after a fail-over the services find the new primary, and the new standby, by themselves.
"""

from __future__ import annotations

import random
import signal
import time
from typing import Final

from tasklog.embedded import SERVICE_ROLES
from tasklog.embedded.postgres import Postgres
from tests.chaos.failover import ReplicatedWorld, heals
from tests.chaos.options import Options
from tests.chaos.proxy import Proxy
from tests.chaos.replicas import be_synchronous, configure, demote, execute, send_all
from tests.chaos.scenario import Scenario
from tests.chaos.world import UnhealthyError, World
from tests.fail_over import socket_of
from tests.servers import Servers, eventually
from tests.standby import Standby

_STATEMENTS: Final = 20
"""How many statements the standby must have got before a fault, or the fault tests nothing."""
_SECONDS: Final = 15.0
_PROMOTED_SECONDS: Final = 10.0


class StandbyWorld(ReplicatedWorld):
    """A world with two addresses: one of them leads to the primary, the other one to its standby."""

    standby: Standby

    def _start_services(self) -> None:
        self.addresses = [self.gateway_proxy, Proxy("/there/is/no/standby/yet")]
        self.background.run(self.addresses[1].open())
        self._stack.callback(self._end, self.addresses[1])
        super()._start_services()

    def _environment(self) -> dict[str, str]:
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.addresses)
        urls = {name: f"postgresql://{role}@{hosts}/tasklog?sslmode=disable" for name, role in SERVICE_ROLES.items()}
        urls["READ_DATABASE_URL"] += "&target_session_attrs=prefer-standby"
        return super()._environment() | urls | dict(self.options.env)

    @property
    def standby_address(self) -> Proxy:
        """The address that does not lead to the primary."""
        return next(proxy for proxy in self.addresses if proxy._target != socket_of(self.postgres))

    def follow(self, *, synchronous: bool = False) -> Standby:
        """Make a standby if there is none, and return it once the services read there."""
        if not hasattr(self, "standby") or self.standby.postgres is self.postgres:
            self.standby = self.make_standby(synchronous=False)
            self.background.call(self.standby_address.lead_to, socket_of(self.standby.postgres))
        if synchronous:
            be_synchronous(self.postgres)
        self._wait_until_read()
        return self.standby

    def _wait_until_read(self) -> None:
        proxy = self.standby_address
        before, deadline = proxy.statements, time.monotonic() + _SECONDS * self.patience
        while proxy.statements < before + _STATEMENTS:
            if time.monotonic() > deadline:
                self.complain("the standby answers reads", f"{proxy.statements - before} statements in time")
                return
            self.pause(0.05)

    def swap(self, old: Postgres, standby: Standby) -> None:
        """Note that the old primary is now the standby of the new one."""
        database = Servers(postgres_url=old.url(), redis_url="").database("tasklog")
        self.standby = Standby(primary=standby.postgres, postgres=old, database=database)


def _world(world: World) -> StandbyWorld:
    assert isinstance(world, StandbyWorld)
    return world


@heals
def delay_replay(world: World, rng: random.Random) -> bool:
    """Let the standby replay commits later: sometimes by less than reads wait for it, sometimes by more."""
    standby = _world(world).follow()
    for delay in (f"{rng.randrange(20, 100)}ms", f"{rng.randrange(1000, 3000)}ms"):
        configure(standby.postgres, recovery_min_apply_delay=delay)
        world.pause(1.5)
    configure(standby.postgres, recovery_min_apply_delay="0")
    return True


@heals
def pause_replay(world: World, rng: random.Random) -> bool:
    """Let the standby stand still for some seconds: it answers, but it learns nothing new."""
    standby = _world(world).follow()
    execute(standby.postgres, "SELECT pg_wal_replay_pause()")
    world.pause(rng.uniform(1, 3))
    execute(standby.postgres, "SELECT pg_wal_replay_resume()")
    return True


@heals
def cut_off_standby(world: World, rng: random.Random) -> bool:
    """Refuse connections to the standby for some seconds, and cut those that are open."""
    _world(world).follow()
    proxy = _world(world).standby_address
    world.background.run(proxy.close())
    world.pause(rng.uniform(1, 3))
    world.background.run(proxy.open())
    return True


@heals
def freeze_standby(world: World, rng: random.Random) -> bool:
    """Stop the standby's processes for some seconds, so that it is silent."""
    standby = _world(world).follow()
    send_all(standby.postgres, signal.SIGSTOP)
    world.pause(rng.uniform(2, 4))
    send_all(standby.postgres, signal.SIGCONT)
    return True


@heals
def kill_standby(world: World, _: random.Random) -> bool:
    """Kill the standby's machine, and start it again a second later."""
    standby = _world(world).follow()
    _kill(standby.postgres)
    world.pause(1)
    standby.postgres.start()
    return True


@heals
def promote_after_kill(world: World, _: random.Random) -> bool:
    """Kill the primary's machine; its synchronous standby, which answers the reads, is promoted under load."""
    ours = _world(world)
    standby = ours.follow(synchronous=True)
    world.resting.add(world.postgres)
    _kill(world.postgres)
    ours.make_primary(standby)
    _wait_until_healthy(ours)
    return True


@heals
def promote_after_freeze(world: World, _: random.Random) -> bool:
    """Freeze the primary's machine, and fence it only after the services have found the promoted standby."""
    ours = _world(world)
    standby = ours.follow(synchronous=True)
    world.resting.add(world.postgres)
    send_all(world.postgres, signal.SIGSTOP)
    old = ours.make_primary(standby)
    _wait_until_healthy(ours)
    _kill(old)
    return True


@heals
def switch_over(world: World, _: random.Random) -> bool:
    """Swap the primary and its standby, as planned: each is found in its new role, at the same address as before."""
    ours = _world(world)
    standby = ours.follow(synchronous=True)
    world.resting.add(world.postgres)
    world.postgres.stop(timeout=30)
    old = ours.make_primary(standby)
    demote(old, standby.postgres)
    ours.swap(old, standby)
    _wait_until_healthy(ours)
    eventually(lambda: execute(old, "SELECT pid FROM pg_stat_wal_receiver"))
    return True


def _wait_until_healthy(world: StandbyWorld) -> None:
    """Check that the services find the new primary in time; the report has how soon."""
    try:
        seconds = world.wait_until_healthy(_PROMOTED_SECONDS * world.patience)
    except UnhealthyError as error:
        world.complain("healthy within 10 s of the promotion", str(error))
    else:
        world.notes.append(f"healthy {seconds:.1f} s after a promotion")


def _kill(server: Postgres) -> None:
    send_all(server, signal.SIGKILL)
    assert server.process is not None
    server.process.wait(10)


_OPTIONS: Final = Options(gateways=2, roams=True)
_FAULTS: Final = (
    delay_replay,
    promote_after_kill,
    cut_off_standby,
    switch_over,
    promote_after_freeze,
    freeze_standby,
    pause_replay,
    kill_standby,
)

STANDBY_READS: Final[dict[str, Scenario]] = {
    "read-from-standby": Scenario(faults=_FAULTS, count=16, pause=1, weight=3, world=StandbyWorld, options=_OPTIONS),
    "short-read-from-standby": Scenario(
        faults=(promote_after_freeze, promote_after_kill),
        count=2,
        pause=0.1,
        weight=0,
        world=StandbyWorld,
        options=_OPTIONS,
    ),
}

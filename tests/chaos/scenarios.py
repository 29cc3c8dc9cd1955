"""The scenarios: which faults, in which world, how many of them, and what else has to hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos import nemesis
from tests.chaos.checker import Violation
from tests.chaos.nemesis import Fault
from tests.chaos.overload import overload
from tests.chaos.special import (
    all_accepted_are_answered,
    answers_were_lost,
    plant_impossible_events,
    project_backlog,
    the_clock_jumped,
    the_disk_was_full,
    the_others_go_on,
)
from tests.chaos.supervised import SupervisedWorld, kill_child
from tests.chaos.world import Options, World

Body = Callable[[World, random.Random, float], None]
Check = Callable[[World], Iterator[Violation]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`count` faults, `pause` seconds apart at most, or as many as its time allows; or a `body` of its own.

    `weight` is its share of the time; `needs` says why it cannot run here, if it cannot.
    """

    faults: tuple[Fault, ...] = ()
    count: int = 20
    pause: float = 1.0
    weight: float = 1.0
    lag_seconds: float = 10.0
    options: Options = field(default_factory=Options)
    world: type[World] = World
    body: Body | None = None
    check: Check | None = None
    needs: Callable[[], str | None] = lambda: None


def _libfaketime() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def _needs_libfaketime() -> str | None:
    return None if _libfaketime() else "libfaketime is not installed (Debian's package libfaketime)"


def _needs_mount() -> str | None:
    capabilities = Path("/proc/self/status").read_text().partition("CapEff:\t")[2][:16]
    return None if int(capabilities, 16) >> 21 & 1 else "a small disk needs the right to mount a tmpfs"


_POOLED: Final = {"DATABASE_POOLER": "yes"}

_SHORT: Final[tuple[Fault, ...]] = (
    nemesis.kill_gateway,
    nemesis.kill_projector_at_statement,
    nemesis.kill_postgres,
    nemesis.lose_commits,
    nemesis.terminate_backends,
    nemesis.cut_at_statement,
    nemesis.freeze_postgres,
    nemesis.unreachable_postgres,
    nemesis.kill_redis,
    nemesis.kill_gateway_at_statement,
)
_SOAK: Final[tuple[Fault, ...]] = (
    *_SHORT,
    nemesis.kill_projector,
    nemesis.stop_lock_holder,
    nemesis.stop_gateway,
    nemesis.slow_postgres,
    nemesis.flush_redis,
    nemesis.full_redis,
    nemesis.freeze_redis,
    nemesis.unreachable_redis,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    "short": Scenario(faults=_SHORT, count=len(_SHORT), pause=0.3, weight=0),
    "kill-services": Scenario(
        faults=(nemesis.kill_gateway, nemesis.kill_projector),
        count=100,
        pause=1.6,
        weight=4,
        options=Options(gateways=2, projectors=2),
    ),
    "kill-between-statements": Scenario(
        faults=(nemesis.kill_gateway_at_statement, nemesis.kill_projector_at_statement, nemesis.cut_at_statement),
        count=60,
        pause=0.5,
        weight=2,
    ),
    "kill-between-statements-pooled": Scenario(
        faults=(nemesis.kill_gateway_at_statement, nemesis.kill_projector_at_statement, nemesis.cut_at_statement),
        count=30,
        pause=0.5,
        options=Options(env=_POOLED),
    ),
    "kill-under-run-serve": Scenario(faults=(kill_child,), count=20, pause=3, world=SupervisedWorld),
    "stop-lock-holder": Scenario(
        faults=(nemesis.stop_lock_holder, nemesis.stop_gateway, nemesis.stop_lock_holder_long),
        count=6,
        weight=2,
        options=Options(projectors=2),
    ),
    "kill-postgres": Scenario(faults=(nemesis.kill_postgres,), count=40, weight=2),
    "terminate-backends": Scenario(faults=(nemesis.terminate_backends,), count=60, pause=0.5),
    "freeze-postgres": Scenario(
        faults=(nemesis.freeze_postgres, nemesis.freeze_postgres, nemesis.freeze_postgres_long), count=12, weight=2
    ),
    "unreachable-postgres": Scenario(faults=(nemesis.unreachable_postgres,), count=15),
    "slow-postgres": Scenario(faults=(nemesis.slow_postgres,), count=10),
    "lose-commits": Scenario(faults=(nemesis.lose_commits,), count=40, pause=0.3, check=answers_were_lost),
    "disk-full": Scenario(
        faults=(nemesis.fill_disk,),
        count=5,
        pause=2,
        options=Options(disk_mb=256),
        needs=_needs_mount,
        check=the_disk_was_full,
    ),
    "redis": Scenario(
        faults=(
            nemesis.kill_redis,
            nemesis.flush_redis,
            nemesis.freeze_redis,
            nemesis.full_redis,
            nemesis.unreachable_redis,
        ),
        count=25,
        weight=1.5,
    ),
    "two-projectors": Scenario(
        faults=(nemesis.kill_projector, nemesis.kill_projector_at_statement), count=12, options=Options(projectors=2)
    ),
    "five-projectors": Scenario(
        faults=(nemesis.kill_projector, nemesis.kill_projector_at_statement), count=12, options=Options(projectors=5)
    ),
    "impossible-event": Scenario(body=plant_impossible_events, check=the_others_go_on),
    "backlog": Scenario(body=partial(project_backlog, events=20_000)),
    "clock": Scenario(
        faults=(nemesis.jump,),
        count=12,
        pause=2,
        options=Options(clock=_libfaketime()),
        needs=_needs_libfaketime,
        check=the_clock_jumped,
    ),
    "sigterm": Scenario(faults=(nemesis.terminate_gateway,), count=10, check=all_accepted_are_answered),
    "overload": Scenario(body=overload, options=Options(users=2, clients=1)),
    "soak": Scenario(faults=_SOAK, count=1000, pause=1.5, weight=4, options=Options(gateways=2, projectors=2, users=8)),
    # Worlds with a fault planted in them, for the tests of the checker: each has to end with violations.
    "planted-asynchronous-commit": Scenario(
        faults=(nemesis.kill_postgres,),
        count=2,
        weight=0,
        options=Options(postgres={"synchronous_commit": "off", "wal_writer_delay": "10s"}),
    ),
    "planted-checkpoint-before-rows": Scenario(
        faults=(nemesis.planted,),
        count=1,
        weight=0,
        lag_seconds=0,
        options=Options(planted="checkpoint-before-rows"),
    ),
    "planted-toggle-outside-the-lock": Scenario(
        faults=(nemesis.decide_outside_the_lock, nemesis.lose_toggle),
        count=4,
        weight=0,
        lag_seconds=0,
        options=Options(gateways=2),
    ),
    "planted-write-dropped": Scenario(
        faults=(nemesis.planted,), count=3, weight=0, options=Options(planted="write-dropped")
    ),
    "planted-stale-read": Scenario(faults=(nemesis.planted,), count=3, weight=0, options=Options(planted="stale-read")),
}

"""All scenarios by name."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.chaos import nemesis
from tests.chaos.alarms import ALARMS
from tests.chaos.failover import FAILOVER
from tests.chaos.front_ends import FRONT_ENDS
from tests.chaos.growth import GROWTH
from tests.chaos.heavy import HEAVY
from tests.chaos.migrating import MIGRATIONS
from tests.chaos.moving import MOVES
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.overload import overload
from tests.chaos.planted_scenarios import PLANTED_SCENARIOS
from tests.chaos.restarts import RESTARTS
from tests.chaos.scenario import Scenario, libfaketime, needs_libfaketime, needs_mount
from tests.chaos.special import (
    all_accepted_are_answered,
    answers_were_lost,
    plant_impossible_events,
    project_backlog,
    the_clock_jumped,
    the_disk_was_full,
    the_others_go_on,
)
from tests.chaos.standby_reads import STANDBY_READS
from tests.chaos.supervised import SupervisedWorld, kill_child
from tests.chaos.workers import WORKERS_SCENARIOS

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
        count=150,
        pause=0.5,
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
        weight=1.5,
        options=Options(projectors=2),
    ),
    "kill-postgres": Scenario(faults=(nemesis.kill_postgres,), count=60, pause=0.7, weight=2),
    "terminate-backends": Scenario(faults=(nemesis.terminate_backends,), count=300, pause=0.25, weight=4),
    "cut-connections": Scenario(faults=(nemesis.cut_at_statement,), count=100, pause=0.2, weight=1.5),
    "freeze-postgres": Scenario(
        faults=(nemesis.freeze_postgres, nemesis.freeze_postgres, nemesis.freeze_postgres_long), count=10, weight=1.5
    ),
    "unreachable-postgres": Scenario(faults=(nemesis.unreachable_postgres,), count=15),
    "slow-postgres": Scenario(faults=(nemesis.slow_postgres,), count=10),
    "lose-commits": Scenario(faults=(nemesis.lose_commits,), count=40, pause=0.3, check=answers_were_lost),
    "disk-full": Scenario(
        faults=(nemesis.fill_disk,),
        count=5,
        pause=2,
        options=Options(disk_mb=256),
        needs=needs_mount,
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
        faults=(nemesis.kill_projector, nemesis.kill_projector_at_statement), count=20, options=Options(projectors=2)
    ),
    "five-projectors": Scenario(
        faults=(nemesis.kill_projector, nemesis.kill_projector_at_statement), count=20, options=Options(projectors=5)
    ),
    "impossible-event": Scenario(body=plant_impossible_events, check=the_others_go_on),
    "backlog": Scenario(body=partial(project_backlog, events=20_000)),
    "clock": Scenario(
        faults=(nemesis.jump,),
        count=12,
        pause=2,
        options=Options(clock=libfaketime()),
        needs=needs_libfaketime,
        check=the_clock_jumped,
    ),
    "sigterm": Scenario(faults=(nemesis.terminate_gateway,), count=10, check=all_accepted_are_answered),
    "overload": Scenario(body=overload, options=Options(users=2, clients=1)),
    "two-command-processes": Scenario(
        faults=(nemesis.kill_gateway, nemesis.cut_at_statement, nemesis.lose_commits, nemesis.terminate_backends),
        count=30,
        pause=0.4,
        weight=1.5,
        options=Options(gateways=2, roams=True),
    ),
    **HEAVY,
    **GROWTH,
    **MIGRATIONS,
    **RESTARTS,
    **FAILOVER,
    **STANDBY_READS,
    **FRONT_ENDS,
    **WORKERS_SCENARIOS,
    **ALARMS,
    **MOVES,
    "soak": Scenario(faults=_SOAK, count=1000, pause=1, weight=5, options=Options(gateways=2, projectors=2, users=8)),
    **PLANTED_SCENARIOS,
}

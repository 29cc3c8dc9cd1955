"""Worlds with a planted fault, for the tests of the checker: each must end with violations."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.chaos import nemesis
from tests.chaos.alarms import alerts_tell, no_database_soon
from tests.chaos.alarms_world import AlarmedWorld, needs_prometheus
from tests.chaos.failover import ReplicatedWorld, lose_unforgiven, stay_read_only
from tests.chaos.front_ends import front_ends_are_right, needs_node, with_commands
from tests.chaos.front_ends_world import FrontEndsWorld
from tests.chaos.growth import scan_tables
from tests.chaos.heavy import weigh
from tests.chaos.migrating import lock_tables, reads_do_not_wait
from tests.chaos.moving import move, moves_are_right
from tests.chaos.moving_world import CellsWorld
from tests.chaos.options import Options
from tests.chaos.restarts import all_are_answered, all_in_flight_are_answered, kill_while_slow, restart_next
from tests.chaos.scenario import Scenario
from tests.chaos.standby_reads import StandbyWorld, pause_replay
from tests.chaos.supervised import SupervisedWorld
from tests.chaos.workers import replace_workers

PLANTED_SCENARIOS: Final[dict[str, Scenario]] = {
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
    "planted-change-dropped": Scenario(
        faults=(with_commands(nemesis.planted),),
        count=4,
        weight=0,
        world=FrontEndsWorld,
        options=Options(planted="change-dropped", clients=1, users=2),
        needs=needs_node,
        check=front_ends_are_right,
    ),
    "planted-stale-read": Scenario(faults=(nemesis.planted,), count=3, weight=0, options=Options(planted="stale-read")),
    "planted-standby-unchecked": Scenario(
        faults=(pause_replay,),
        count=4,
        weight=0,
        world=StandbyWorld,
        options=Options(planted="standby-unchecked"),
    ),
    "planted-fail-over-with-loss": Scenario(
        faults=(lose_unforgiven,), count=1, weight=0, world=ReplicatedWorld, options=Options(gateways=2)
    ),
    "planted-read-only": Scenario(faults=(stay_read_only,), count=1, weight=0, lag_seconds=0),
    "planted-connections-cut": Scenario(
        faults=(nemesis.planted,), count=2, weight=0, options=Options(planted="connections-cut"), check=all_are_answered
    ),
    "planted-wrong-exit-code": Scenario(
        faults=(restart_next,), count=1, weight=0, options=Options(planted="wrong-exit-code")
    ),
    "planted-killed": Scenario(
        faults=(kill_while_slow,), count=2, weight=0, options=Options(), check=all_in_flight_are_answered
    ),
    "planted-drained-by-a-kill": Scenario(
        faults=(replace_workers,),
        count=3,
        weight=0,
        world=SupervisedWorld,
        options=Options(planted="drained-by-a-kill", env={"API_WORKERS": "2"}),
    ),
    "planted-much-memory": Scenario(
        faults=(nemesis.flush_redis,), count=1, weight=0, options=Options(planted="much-memory")
    ),
    "planted-everybody-waits": Scenario(
        body=partial(weigh, kinds=["many-tasks"]),
        weight=0,
        options=Options(planted="everybody-waits", clients=2, direct=True),
    ),
    "planted-database-always-up": Scenario(
        faults=(no_database_soon,),
        count=1,
        weight=0,
        world=AlarmedWorld,
        options=Options(planted="database-always-up"),
        needs=needs_prometheus,
        check=alerts_tell,
    ),
    "planted-stream-not-held": Scenario(
        faults=(move,),
        count=1,
        weight=0,
        world=CellsWorld,
        options=Options(planted="stream-not-held", users=1, roams=True),
        check=moves_are_right,
    ),
    "planted-scan": Scenario(body=scan_tables, weight=0, options=Options(clients=1)),
    "planted-lock": Scenario(faults=(lock_tables,), count=1, weight=0, check=reads_do_not_wait),
}

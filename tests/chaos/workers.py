"""Workers of `./run`, killed and replaced under load: a replacement refuses no connection and cuts no request."""

from __future__ import annotations

import random
import signal
import time
from typing import Final

from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.supervised import SupervisedWorld, kill_child
from tests.chaos.world import World

WORKERS: Final = 3

_RESTARTED: Final = "All workers were restarted."
_REPLACE_SECONDS: Final = 90.0
"""How long the replacement of all workers may take, in seconds."""
_OPTIONS: Final = {"API_WORKERS": str(WORKERS), "PROJECTOR_WORKERS": "2"}


def kill_worker(world: World, rng: random.Random) -> bool:
    """Kill -9 a gateway or a projector; return False if there is none."""
    return kill_child(world, rng, named="tasklog")


def replace_workers(world: World, _: random.Random) -> bool:
    """Send SIGHUP: all workers are replaced, and every request that is sent meanwhile is answered."""
    assert isinstance(world, SupervisedWorld)
    world.wait_until_healthy(20 * world.patience)
    world.pause(1)
    before, began = _restarts(world), time.monotonic()
    world.supervisor.send_signal(signal.SIGHUP)
    while _restarts(world) == before:
        if time.monotonic() - began > _REPLACE_SECONDS * world.patience:
            world.complain("workers are replaced", "they were not, within the time that this may take")
            return False
        world.pause(0.1)
    ended = time.monotonic()
    asked = [one for one in list(world.load.history) if began < one.invoked and one.returned < ended]
    for one in asked:
        if one.status is None and not one.gave_up:
            world.complain("every request is answered", str(one))
    world.observe()
    return bool(asked)


def _restarts(world: World) -> int:
    return world.log.read_text(errors="replace").count(_RESTARTED)


WORKERS_SCENARIOS: Final[dict[str, Scenario]] = {
    "workers": Scenario(
        faults=(kill_worker, replace_workers, kill_worker, kill_worker),
        count=16,
        pause=2,
        weight=2,
        world=SupervisedWorld,
        options=Options(env=_OPTIONS),
    ),
}

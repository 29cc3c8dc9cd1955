"""Runs a scenario: a world, clients, faults, healing, checks, and nothing left running."""

from __future__ import annotations

import random
import time
from contextlib import closing
from pathlib import Path

from tests.chaos.background import Background
from tests.chaos.checker import Violation
from tests.chaos.history import count
from tests.chaos.judge import heal, judge, left_running
from tests.chaos.report import Row
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World

_OVERHEAD_SECONDS = 6.0
_LEAST_SECONDS = 5.0


def run_scenario(  # noqa: PLR0913 - what a run shares, and this scenario's part
    name: str,
    directory: Path,
    template: Path,
    background: Background,
    *,
    seed: int,
    seconds: float,
    patience: float,
) -> Row:
    """Run one scenario for about `seconds`; return its row of the table."""
    scenario = SCENARIOS[name]
    if (missing := scenario.needs()) is not None:
        return Row(scenario=name, skipped=missing)
    began = time.monotonic()
    rng = random.Random(f"{seed} {name}")
    violations: list[Violation] = []
    with closing(scenario.world(directory, template, background, scenario.options, seed)) as world:
        world.patience = patience
        world.open()
        world.pause(0.5)
        inject(world, scenario, rng, max(_LEAST_SECONDS, seconds - _OVERHEAD_SECONDS))
        if not world.faults:
            violations.append(Violation("the fault was there", "all", "none happened"))
        violations += heal(world, scenario.lag_seconds, patience)
        world.observe()
        violations += judge(world)
        if scenario.check is not None:
            violations += scenario.check(world)
    violations += [Violation("nothing is left running", "all", process) for process in left_running(world)]
    return Row(
        scenario=name,
        faults=world.faults,
        counts=count(world.load.history),
        violations=violations,
        ends=world.ends,
        notes=world.notes,
        memory=str(world.memory),
        seconds=time.monotonic() - began,
    )


def inject(world: World, scenario: Scenario, rng: random.Random, seconds: float) -> None:
    """Inject faults one after the other: each kind once, then at random. A fault that did not happen does not count."""
    if scenario.body is not None:
        scenario.body(world, rng, seconds)
        return
    end = time.monotonic() + seconds
    while world.faults < scenario.count and time.monotonic() < end:
        is_first = world.faults < len(scenario.faults)
        fault = scenario.faults[world.faults] if is_first else rng.choice(scenario.faults)
        world.faults += fault(world, rng)
        world.pause(rng.uniform(0.05, scenario.pause))

"""What the runs of scenarios share: a migrated cluster to copy, and the thread of the clients and proxies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.background import Background
from tests.chaos.options import make_template
from tests.chaos.report import Row
from tests.chaos.runner import run_scenario
from tests.machine import go_without

RunScenario = Callable[..., Row]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Yield a migrated, stopped cluster, made once because each run copies it."""
    with tempfile.TemporaryDirectory(prefix="tasklog-chaos-") as directory:
        yield make_template(Path(directory) / "template")


@pytest.fixture
def run_in_world(cluster: Path) -> Iterator[RunScenario]:
    """Yield a function that runs a scenario as `./run chaos --seed 1` does, without importing everything again."""
    with (
        tempfile.TemporaryDirectory(prefix="tasklog-chaos-") as directory,
        closing(Background()) as background,
    ):

        def run(name: str, *, seconds: float = 200, patience: float = 1) -> Row:
            world = Path(directory) / "world"
            row = run_scenario(name, world, cluster, background, seed=1, seconds=seconds, patience=patience)
            if row.skipped is not None:
                go_without(f"run of {name}", row.skipped)
            return row

        yield run

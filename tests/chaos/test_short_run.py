"""Short runs: the main faults with a fixed seed, in separate processes, of which nothing is left.

They check that it heals, but not how fast, because the machine may be busy. `./run chaos` checks the seconds too, and
that light users wait at most twice as long beside heavy ones.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.conftest import RunScenario

ROOT = Path(__file__).parents[2]
PATIENCE = 6

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc"),
    pytest.mark.slow,
]


@pytest.mark.parametrize(
    ("scenario", "faults", "seconds"),
    [
        ("short-fail-over", 4, 200),
        ("short-read-from-standby", 2, 200),
        ("short-ends", 4, 200),
        pytest.param("sign-ups", 1, 12, marks=pytest.mark.alone),
        pytest.param("short-heavy-users", 4, 12, marks=pytest.mark.alone),
    ],
)
@pytest.mark.timeout(400)
def test_no_promise_is_broken_by_the_main_faults(
    run_in_world: RunScenario, scenario: str, faults: int, seconds: int
) -> None:
    """The run ends with the last fault: after about 20 s, if nothing else runs."""
    row = run_in_world(scenario, seconds=seconds, patience=PATIENCE)
    assert (row.faults, row.violations) == (faults, []), row.report()


@pytest.mark.timeout(400)
def test_the_command_breaks_no_promise_and_prints_a_table() -> None:
    command = [sys.executable, "-m", "tests.chaos", "short", "--seconds", "200", "--seed", "1"]
    command += ["--patience", f"{PATIENCE}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "short: 10 faults, 0 violations" in run.stdout, run.stdout
    assert "| short | 10 |" in run.stdout, run.stdout

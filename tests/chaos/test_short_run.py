"""Short runs: the main faults with a fixed seed, in separate processes, of which nothing is left.

They check that it heals, but not how fast, because the machine may be busy. `./run chaos` checks the seconds too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc")


@pytest.mark.parametrize(
    ("scenario", "faults", "seconds"),
    [
        ("short", 10, 200),
        ("short-fail-over", 4, 200),
        ("short-ends", 4, 200),
        ("sign-ups", 1, 12),
        ("heavy-users", 4, 12),
    ],
)
@pytest.mark.timeout(400)
def test_no_promise_is_broken_by_the_main_faults(scenario: str, faults: int, seconds: int) -> None:
    """The run ends with the last fault: after about 20 s, if nothing else runs."""
    arguments = [scenario, "--seconds", f"{seconds}", "--seed", "1", "--patience", "6"]
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{scenario}: {faults} faults, 0 violations" in run.stdout, run.stdout

"""The short run: the main faults with a fixed seed, in a process of its own, and nothing left of it.

That it heals, not within how many seconds: the machine may do other work. `./run chaos` asks for the seconds, too.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc")


@pytest.mark.timeout(400)
def test_no_promise_is_broken_by_the_main_faults() -> None:
    """It ends with the last fault: that is after some 20 s, if nothing else runs."""
    command = [sys.executable, "-m", "tests.chaos", "short", "--seconds", "200", "--seed", "1", "--patience", "6"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "short: 10 faults, 0 violations" in run.stdout, run.stdout

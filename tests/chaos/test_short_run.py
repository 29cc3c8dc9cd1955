"""The short run: the main faults with a fixed seed, in a process of its own, and nothing left of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc")


def test_no_promise_is_broken_by_the_main_faults() -> None:
    command = [sys.executable, "-m", "tests.chaos", "short", "--seconds", "40", "--seed", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "short: 10 faults, 0 violations" in run.stdout, run.stdout

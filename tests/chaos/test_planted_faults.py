"""The checker in a world with a fault planted in its services or its Postgres: it finds each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SECONDS = {"everybody-waits": 12, "scan": 12}
"""In seconds. These scenarios use all the time that they get."""

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc"),
    pytest.mark.slow,
]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("fail-over-with-loss", "an acknowledged write is in the ledger"),
        ("read-only", "it heals by itself"),
        ("connections-cut", "every request is answered"),
        ("wrong-exit-code", "a process ends as it should"),
        ("killed", "a request in flight is answered"),
        ("much-memory", "a process stays under 400 MB"),
        ("everybody-waits", "nobody waits for a heavy user"),
        ("scan", "no service scans a table"),
        ("lock", "reads do not wait for a migration"),
        ("asynchronous-commit", "an acknowledged write is in the ledger"),
        ("checkpoint-before-rows", "the projection is its replay"),
        ("toggle-outside-the-lock", "an event follows from what was"),
        ("write-dropped", "an acknowledged write is in the ledger"),
        ("stale-read", "no read is stale"),
    ],
)
@pytest.mark.timeout(400)
def test_a_planted_fault_is_found(fault: str, rule: str) -> None:
    """The run ends when the fault has happened often enough: after about 10 s, if nothing else runs."""
    seconds = str(_SECONDS.get(fault, 200))
    command = [sys.executable, "-m", "tests.chaos", f"planted-{fault}", "--seconds", seconds, "--seed", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f" x {rule}\n" in run.stdout, run.stdout

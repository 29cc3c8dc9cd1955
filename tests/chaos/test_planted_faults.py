"""The checker in a world with a fault planted in its services or its Postgres: it finds each."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.conftest import RunScenario

_SECONDS = {"everybody-waits": 12, "scan": 12}
"""In seconds. These scenarios use all the time that they get."""

_CHANGE_MISSED = (
    "no change is missed",
    "a change is told once",
    "a listener is told everything",
    "a replica ends equal to the list",
)
"""By who should have been told of the change, by what happens to its task later, and whether another change follows."""

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
        ("drained-by-a-kill", "every request is answered"),
        ("killed", "a request in flight is answered"),
        ("much-memory", "a process stays under 400 MB"),
        pytest.param("everybody-waits", "nobody waits for a heavy user", marks=pytest.mark.alone),
        ("scan", "no service scans a table"),
        ("lock", "reads do not wait for a migration"),
        ("asynchronous-commit", "an acknowledged write is in the ledger"),
        ("checkpoint-before-rows", "the projection is its replay"),
        ("toggle-outside-the-lock", "an event follows from what was"),
        ("write-dropped", "an acknowledged write is in the ledger"),
        ("stale-read", "no read is stale"),
        ("standby-unchecked", "no read is stale"),
        ("change-dropped", _CHANGE_MISSED),
    ],
)
@pytest.mark.timeout(400)
def test_a_planted_fault_is_found(run_in_world: RunScenario, fault: str, rule: str | tuple[str, ...]) -> None:
    """The run ends when the fault has happened often enough: after about 10 s, if nothing else runs."""
    row = run_in_world(f"planted-{fault}", seconds=_SECONDS.get(fault, 200))
    rules = {rule} if isinstance(rule, str) else {*rule}
    assert rules & {violation.rule for violation in row.violations}, row.report()

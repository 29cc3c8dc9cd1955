"""A real Prometheus beside faults: the alerts of each fault fire, and end with it.

It is a file of its own, as files of tests run side by side.
Seen to fail with the bound of TasklogDatabaseUnreachable at -1.
"""

from __future__ import annotations

import sys

import pytest

from tests.chaos.conftest import RunScenario

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and finds them in /proc"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]


def test_each_fault_has_its_alerts_and_they_end_with_it(run_in_world: RunScenario) -> None:
    """The run takes about 25 s, most of it waiting."""
    row = run_in_world("short-alerts", patience=6)
    assert (row.faults, row.violations) == (2, []), row.report()


def test_a_process_that_hides_its_fault_is_found(run_in_world: RunScenario) -> None:
    row = run_in_world("planted-database-always-up")
    assert "an alert tells of a fault" in {violation.rule for violation in row.violations}, row.report()

"""Users move between two cells under load, while the command or a Postgres is killed: no promise is broken.

It is a file of its own, as files of tests run side by side. The planted fault is the break that it finds.
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


def test_no_promise_is_broken_while_users_move(run_in_world: RunScenario) -> None:
    row = run_in_world("short-move", patience=6)
    assert (row.faults, row.violations) == (2, []), row.report()


def test_a_stream_that_is_not_held_while_it_is_copied_is_found(run_in_world: RunScenario) -> None:
    row = run_in_world("planted-stream-not-held", patience=6)
    rule = "an acknowledged write is in the ledger"
    assert rule in {violation.rule for violation in row.violations}, row.report()

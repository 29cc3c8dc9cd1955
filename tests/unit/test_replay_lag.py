"""How long a standby is behind: from positions and the times at which the primary was seen at them.

Seen to fail: with the lag counted from the last look, and without forgetting what a fail-over lost.
"""

from __future__ import annotations

from itertools import starmap

import pytest

from read_api.replay_lag import ReplayLag


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([(10, 100, 100), (11, 100, 100)], [0, 0]),
        ([(10, 100, 100), (11, 200, 100), (12, 300, 150), (13, 300, 200), (14, 300, 300)], [0, 0, 1, 1, 0]),
        ([(10, 100, 50), (20, 100, 50), (30, 100, 99), (31, 100, 100)], [0, 10, 20, 0]),
        ([(10, 900, 100), (15, 900, 100), (16, 200, 100), (18, 300, 100), (19, 300, 300)], [0, 5, 0, 2, 0]),
    ],
    ids=["in step", "it follows", "it stands still beside an idle primary", "the primary has lost something"],
)
def test_a_standby_is_behind_since_the_primary_had_what_it_lacks(
    looks: list[tuple[float, int, int]], seconds: list[float]
) -> None:
    lag = ReplayLag()
    assert list(starmap(lag.seconds, looks)) == seconds


def test_a_standby_that_stands_still_for_an_hour_costs_little_memory_and_its_lag_stays_right() -> None:
    lag = ReplayLag()
    found = [lag.seconds(at, at + 1, 1) for at in range(1, 3600)]
    assert found[-1] == 3600 - 2
    assert len(lag._written) <= 1000
    assert lag.seconds(3600, 3600, 1800) == pytest.approx(1800, abs=10)

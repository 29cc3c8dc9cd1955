"""A process that ends is restarted; one that starts slowly is left alone, and the supervisor sleeps meanwhile.

Seen to fail: with a restart planned for a part that is alive, after which the supervisor would never sleep again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from runtime.settings import SettingsError
from tasklog.supervision.keeper import Keeper
from tests.servers import eventually


class Slow:
    """A process that never accepts connections, like a server in a long recovery; it counts its starts."""

    name = "Slow"
    command: tuple[str, ...] = ("sleep", "60")

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self, _: Callable[[float], object]) -> None:
        self.process = subprocess.Popen(self.command)
        self.starts += 1
        if self.starts > 1:
            raise SettingsError("Slow did not start.")

    def stop(self, timeout: float) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout)


@pytest.fixture
def part() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.stop(5)


def look_until_started(keeper: Keeper, part: Slow, times: int) -> None:
    def started() -> bool:
        keeper.look(lambda _: None)
        return part.starts == times

    eventually(started)


def test_a_part_that_is_slow_to_start_again_is_waited_for_and_started_once_it_has_ended(part: Slow) -> None:
    keeper = Keeper(part)
    keeper.start(lambda _: None)
    for starts in (2, 3):
        part.stop(5)
        keeper.look(lambda _: None)
        assert keeper.restart_at is not None
        look_until_started(keeper, part, starts)
        assert keeper.exit_code() is None
        assert keeper.restart_at is None


def test_a_part_that_ends_while_it_starts_is_started_again_later(part: Slow) -> None:
    keeper = Keeper(part)
    keeper.start(lambda _: None)
    part.stop(5)
    part.command = ("false",)
    keeper.look(lambda _: None)
    look_until_started(keeper, part, 4)

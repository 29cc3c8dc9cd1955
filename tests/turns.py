"""How several pytest workers (`./run test -n auto`) share this machine.

A worker runs whole files, with a Postgres and a Redis of its own. Files with `slow` tests come first, so that no worker
is left with one at the end. While an `alone` test runs, which compares durations, no other worker runs a test.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_WORKERS_A_CORE = 2
"""Most tests wait for other processes, so two workers keep a core busy."""
_DOOR, _TURNS = Path(__file__).parent, Path(__file__)
"""What workers lock. Every test holds a shared lock on `_TURNS`, an `alone` test an exclusive one. To get it, it holds
`_DOOR` exclusively, through which every test passes first: so no later test overtakes it."""


@pytest.hookimpl
def pytest_xdist_auto_num_workers() -> int:
    return _WORKERS_A_CORE * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files with slow tests first, if there are workers: they start files in this order."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait for this test's turn; the wait does not count towards its time-out."""
    with ExitStack() as turn:
        if hasattr(item.config, "workerinput"):
            _take_turn(turn, alone=item.get_closest_marker("alone") is not None)
        return (yield)


def _take_turn(turn: ExitStack, *, alone: bool) -> None:
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    door = turn.enter_context(_locked(_DOOR, how))
    turn.enter_context(_locked(_TURNS, how))
    if not alone:
        fcntl.flock(door, fcntl.LOCK_UN)


@contextmanager
def _locked(file: Path, how: int) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)

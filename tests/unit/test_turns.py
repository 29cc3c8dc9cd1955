"""An `alone` test waits for the others, and no later test overtakes it.

Seen to fail: with a shared lock for an `alone` test, and without the door.
"""

from __future__ import annotations

import fcntl
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import turns
from tests.servers import eventually


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use other files than the workers that run this very test."""
    for name in ("_DOOR", "_TURNS"):
        (tmp_path / name).touch()
        monkeypatch.setattr(turns, name, tmp_path / name)


def is_open(file: Path) -> bool:
    """Return whether another test would get a shared lock on a file at once."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_tests_share_their_turn() -> None:
    with ExitStack() as first, ExitStack() as second:
        turns._take_turn(first, alone=False)
        assert is_open(turns._DOOR)
        turns._take_turn(second, alone=False)


def test_a_test_that_runs_alone_waits_for_those_that_run_and_keeps_out_later_ones() -> None:
    with ExitStack() as ordinary, ExitStack() as alone:
        turns._take_turn(ordinary, alone=False)
        waiting = threading.Thread(target=turns._take_turn, args=(alone,), kwargs={"alone": True})
        waiting.start()
        eventually(lambda: not is_open(turns._DOOR))
        assert is_open(turns._TURNS)  # the ordinary one still runs
        ordinary.close()
        waiting.join(30)
        assert not is_open(turns._TURNS)
        assert not is_open(turns._DOOR)
        alone.close()
        assert is_open(turns._TURNS)
        assert is_open(turns._DOOR)

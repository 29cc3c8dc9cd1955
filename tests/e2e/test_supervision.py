"""Whatever ends `./run` ends all its processes, what dies in it is restarted, and acknowledged writes stay."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.all_in_one import START_SECONDS, STOP_SECONDS, StartRun, create_task, titles
from tests.servers import assert_takes_less, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.mark.alone
@pytest.mark.parametrize("to_the_group", [False, True], ids=["the parent", "the process group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_within_five_seconds(
    start_run: StartRun, number: signal.Signals, to_the_group: bool
) -> None:
    def seconds_to_end() -> float:
        run = start_run()
        run.wait_until_ready()
        assert len(run.processes()) > 4, run.processes()
        return run.seconds_to_end(partial(os.killpg if to_the_group else os.kill, run.process.pid, number))

    assert_takes_less(STOP_SECONDS, seconds_to_end)


@pytest.mark.alone
def test_a_signal_during_the_start_leaves_no_process(start_run: StartRun, tmp_path: Path) -> None:
    """Each start is the first one with its data."""
    numbers = count()

    def seconds_to_end() -> float:
        run = start_run(DATA_DIR=str(tmp_path / f"data-{next(numbers)}"))
        eventually(lambda: any("postgres -D" in command for command in run.processes().values()), START_SECONDS)
        return run.seconds_to_end(run.process.terminate)

    assert_takes_less(STOP_SECONDS, seconds_to_end)


def test_after_kill_9_no_process_is_left_and_the_next_start_has_every_task(start_run: StartRun) -> None:
    run = start_run()
    url = run.wait_until_ready()
    assert create_task(run, url, "acknowledged").status_code == 201
    run.process.kill()
    run.process.wait()
    eventually(lambda: run.processes() == {}, START_SECONDS)
    again = start_run()
    assert titles(again, again.wait_until_ready()) == ["acknowledged"]


def test_a_start_right_after_kill_9_recovers(start_run: StartRun) -> None:
    run = start_run()
    run.wait_until_ready()
    run.process.kill()
    run.process.wait()
    start_run().wait_until_ready()


def test_a_process_number_that_another_process_took_over_does_not_stop_the_start(start_run: StartRun) -> None:
    run = start_run()
    run.wait_until_ready()
    file = Path(run.env["DATA_DIR"]) / "postgres" / "postmaster.pid"
    _, *rest = file.read_text().split("\n")
    run.process.kill()
    run.process.wait()
    eventually(lambda: run.processes() == {}, START_SECONDS)
    file.write_text("\n".join([str(os.getpid()), *rest]))
    start_run().wait_until_ready()


@pytest.mark.parametrize("victim", ["postgres -D", "valkey-server", "tasklog gateway", "tasklog projector"])
def test_a_process_that_dies_is_started_again(start_run: StartRun, victim: str) -> None:
    run = start_run()
    url = run.wait_until_ready()
    killed = run.process_of(victim)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: run.process_of(victim) != killed, START_SECONDS)
    eventually(lambda: create_task(run, url, "after").status_code == 201, START_SECONDS)
    assert "after" in titles(run, url)

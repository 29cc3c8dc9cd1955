"""How the commands explain themselves, and what they say of options that make no sense."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.settings import VERSION
from tests.e2e.all_in_one import RUN


def test_help_names_every_command() -> None:
    answer = subprocess.run([RUN, "help"], capture_output=True, text=True, check=True, cwd="/")
    for command in ("serve", "command-api", "read-api", "projector", "migrate", "token", "test", "check"):
        assert command in answer.stdout


def test_a_wrong_option_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "tasklog", "history"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("digits", [19, 5000], ids=["more than Postgres counts", "more than Python reads"])
@pytest.mark.parametrize("option", [("replay", "--as-of"), ("history", "--task"), ("history", "--after")], ids=" ".join)
def test_a_number_that_nothing_can_have_is_wrong_usage(option: tuple[str, str], digits: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", *option, "9" * digits, "alice"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("-h", "./run bench"),
        ("help", "./run chaos"),
        ("help status", "./run status"),
        ("status -h", "./run status"),
        ("--version", f"Tasklog {VERSION}\n"),
    ],
)
def test_help_and_the_version_are_there_in_every_usual_way(command: str, said: str) -> None:
    run = [sys.executable, "-m", "tasklog", *command.split()]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout

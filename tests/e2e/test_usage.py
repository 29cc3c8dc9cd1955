"""How the commands explain themselves, and how they refuse options that make no sense."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command

from runtime.version import VERSION
from tasklog.cli.app import app
from tests.e2e.all_in_one import RUN

GROUP: Any = get_command(app)
COMMANDS: dict[str, Any] = {name: command for name, command in GROUP.commands.items() if not command.hidden}


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


def test_help_lists_the_commands_in_groups() -> None:
    answer = subprocess.run([sys.executable, "-m", "tasklog", "help"], capture_output=True, text=True, check=True)
    groups = ["Start", "Look", "Check and repair", "Move and erase data", "Run services apart"]
    places = [answer.stdout.index(f"─ {group} ─") for group in groups]
    assert places == sorted(places)
    for command, group in [("serve", 0), ("token", 0), ("status", 1), ("verify", 2), ("export", 3), ("projector", 4)]:
        line = answer.stdout.index(f"│ {command} ")
        assert places[group] < line < [*places[1:], len(answer.stdout)][group]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_help_of_a_command_is_one_plain_sentence(command: Any) -> None:
    assert re.fullmatch(r"[A-Z][^;]*[^.;]\.", command.help), command.help
    assert len(command.help) <= 110


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

"""Where the commands write: to the named file, by the given name, to a pipe, or to a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.settings import Settings
from tasklog.serving.listener import listen
from tasklog.supervision.greeting import greeting
from tests.e2e.shell import Shell
from tests.servers import Database


@pytest.fixture
def empty(database: Database, redis_url: str, tmp_path: Path) -> Shell:
    """Return a shell on a database without a service."""
    return Shell(directory=tmp_path, database=database, redis_url=redis_url)


def test_an_export_into_a_pipe_or_a_file_of_the_shell_needs_no_option(empty: Shell) -> None:
    piped = empty.run("export")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.startswith('{"end":true,"user_id":null,"events":0,')
    file = empty.directory / "redirected.jsonl"
    with file.open("wb") as stdout:
        assert empty.run("export", stdout=stdout).returncode == 0
    assert empty.run("verify", "--file", file).returncode == 0


def test_an_export_on_a_terminal_says_where_it_can_go_and_writes_nothing(empty: Shell) -> None:
    ours, theirs = pty.openpty()
    try:
        done = empty.run("export", stdout=theirs)
        assert (done.returncode, done.stderr) == (
            2,
            "An export is not for a terminal: name a file with --out FILE, or send it into a pipe.\n",
        )
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)
    finally:
        os.close(ours)
        os.close(theirs)


def test_an_export_in_the_background_or_with_json_needs_a_file(empty: Shell) -> None:
    for option in ("--json", "--background"):
        done = empty.run("export", option)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--out FILE" in done.stderr


def test_messages_name_a_file_as_it_was_given(empty: Shell) -> None:
    given = os.path.relpath(empty.directory / "some.jsonl", Path.cwd())
    assert empty.run("export", "--out", given).stdout == f"Wrote 0 events to {given}.\n"
    again = empty.run("export", "--out", given)
    assert (again.returncode, again.stderr) == (1, f"{given} cannot be written: the file already exists.\n")
    anchors = os.path.relpath(empty.directory / "none" / "anchors", Path.cwd())
    empty.database.execute("INSERT INTO tasklog.streams VALUES ('ann', 1, sha256(''), now(), NULL)")
    done = empty.run("anchor", "--out", anchors)
    assert (done.returncode, done.stderr) == (1, f"{anchors} cannot be written: No such file or directory.\n")


@pytest.mark.parametrize(
    ("settings", "last"),
    [
        ({"better_auth_secret": "s" * 32}, r"  http://127\.0\.0\.1:\d+/console#token=ey\S+"),
        ({"better_auth_secret": "s" * 32, "environment": "production"}, r"The console for people is at \S+/console"),
        ({"jwks_url": "https://auth.example/jwks"}, r"The console for people is at \S+/console"),
        ({"better_auth_secret": "s" * 32, "console": "off"}, r"The data is .* Ctrl-C stops everything\."),
    ],
    ids=["development", "production, where it may be logged", "no secret to sign with", "console off"],
)
def test_the_greeting_ends_with_a_link_to_the_console_where_there_can_be_one(
    settings: dict[str, object], last: str
) -> None:
    with listen("127.0.0.1", 0) as listener:
        said = greeting(Settings(_env_file=None, **settings), listener)  # type: ignore[arg-type]
    assert re.fullmatch(last, said.splitlines()[-1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"CONSOLE": "off"}, "The console is switched off: set CONSOLE=on and start ./run again.\n"),
        (
            {"API_PORT": "0"},
            "API_PORT=0 takes another port at each start: set API_PORT to the one that ./run prints.\n",
        ),
        ({"BETTER_AUTH_SECRET": "", "JWKS_URL": "https://auth.example/jwks"}, "With JWKS_URL, only the auth server"),
    ],
)
def test_without_a_console_or_a_secret_there_is_no_link(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    env = {**os.environ, "DATA_DIR": str(tmp_path), "BETTER_AUTH_SECRET": "s" * 32} | settings
    command = [sys.executable, "-m", "tasklog", "console", "alice"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("port", ["8000", "0"])
def test_the_link_names_the_address_at_which_people_reach_the_console(tmp_path: Path, port: str) -> None:
    given = {"DATA_DIR": str(tmp_path), "BETTER_AUTH_SECRET": "s" * 32, "CONSOLE_URL": "https://tasks.example/"}
    env = {**os.environ, **given, "API_PORT": port}
    command = [sys.executable, "-m", "tasklog", "console", "alice"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("https://tasks.example/console#token=")


def test_the_greeting_names_the_data_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "some/data")
    with listen("127.0.0.1", 0) as listener:
        said = greeting(Settings(_env_file=None, better_auth_secret=SecretStr("s" * 32)), listener)
    assert "The data is in some/data." in said
    assert "$(DATA_DIR=some/data ./run token alice)" in said


def test_the_demo_says_what_it_added_and_how_to_look_at_it_and_is_refused_beside_people(empty: Shell) -> None:
    done = empty.run("demo", "--until", "2026-11-28")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.endswith(" events of alice, ben and chloe, from 2026-09-28 to before 2026-11-28.")
    assert "./run console alice" in second
    again = empty.run("demo")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "There are people in this database: use an empty one, as with DATA_DIR=.demo ./run demo.\n"

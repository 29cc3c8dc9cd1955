"""A start that fails says why in one sentence: `./run`, each service, each command."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.settings import SettingsError
from tasklog.embedded.child import RunAs
from tasklog.embedded.cluster import make_cluster
from tasklog.serving.listener import listen
from tasklog.supervision.service import START_ERROR
from tests.e2e.all_in_one import RUN, START_SECONDS, StartRun, only_sentence

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

PLACEHOLDER = "change-me-to-32-or-more-random-characters"  # which .env.example shows
WRONG_URLS = {
    "DATABASE_URL": "postgresql://u:hunter2@[h/d",
    "READ_DATABASE_URL": "mysql://u:hunter2@localhost/tasklog",
    "REDIS_URL": "redis://:hunter2@localhost:abc/0",
    "JWKS_URL": "http://[",
}


def test_a_port_in_use_is_one_sentence(start_run: StartRun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = only_sentence(start_run(API_PORT=str(port)))
    assert f"port {port}" in sentence
    assert "API_PORT" in sentence


@pytest.mark.parametrize("host", ["nonsense.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_none_of_this_machine_is_said_to_be_the_problem(host: str) -> None:
    with pytest.raises(SettingsError, match="set API_HOST to an address of this machine"):
        listen(host, 0)


def test_a_port_that_needs_rights_is_said_to_need_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(SettingsError, match="set API_PORT to one from 1024 up"):
        listen("127.0.0.1", 80)


def test_initdb_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    initdb = tmp_path / "initdb"
    initdb.write_text("#!/bin/sh\necho 'initdb: error: no space' >&2\necho 'initdb: removing' >&2\nexit 1\n")
    initdb.chmod(0o755)
    with pytest.raises(SettingsError, match="no space"):
        make_cluster(tmp_path / "postgres", tmp_path, 18, RunAs.SELF, os.geteuid())


def test_a_second_run_on_the_same_data_is_refused_in_one_sentence(start_run: StartRun) -> None:
    first = start_run()
    port = first.wait_until_ready().rpartition(":")[2]
    sentence = only_sentence(start_run(API_PORT=port))
    assert "already runs" in sentence
    assert first.env["DATA_DIR"] in sentence
    assert first.process.poll() is None


def test_a_database_that_is_not_there_is_one_sentence(start_run: StartRun) -> None:
    run = start_run(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", BETTER_AUTH_SECRET="s" * 32)
    assert "DATABASE_URL" in only_sentence(run)


@pytest.mark.parametrize("setting", WRONG_URLS)
def test_a_wrong_url_is_one_sentence_before_anything_is_started(start_run: StartRun, setting: str) -> None:
    run = start_run(**{setting: WRONG_URLS[setting]}, BETTER_AUTH_SECRET="s" * 32)
    sentence = only_sentence(run)
    assert sentence.startswith(setting)
    assert "hunter2" not in sentence
    assert not Path(run.env["DATA_DIR"]).exists()


@pytest.mark.parametrize(
    ("service", "setting"),
    [
        ("command-api", "JWKS_URL"),
        ("read-api", "READ_DATABASE_URL"),
        ("projector", "REDIS_URL"),
        ("gateway", "DATABASE_URL"),
    ],
)
def test_a_wrong_url_is_one_sentence_of_a_service(service: str, setting: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", service],
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", setting: WRONG_URLS[setting]},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (START_ERROR, "", 1)
    assert done.stderr.startswith(setting)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("secret", ["", "short", "better-auth-secret-12345678901234567890", PLACEHOLDER])
def test_a_given_database_wants_a_real_secret(start_run: StartRun, secret: str) -> None:
    run = start_run(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", BETTER_AUTH_SECRET=secret)
    assert "BETTER_AUTH_SECRET" in only_sentence(run)


def test_token_without_a_secret_is_one_sentence(tmp_path: Path) -> None:
    env = os.environ | {"DATA_DIR": str(tmp_path / "never started")}
    answer = subprocess.run([RUN, "token", "alice"], env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["serve", "migrate", "status", "token"])
@pytest.mark.parametrize("wrong", ["a file in its path", "an unreadable secret", "an empty secret", ".env"])
def test_a_data_dir_that_cannot_be_used_is_one_sentence(tmp_path: Path, wrong: str, command: str) -> None:
    """Root can read every file, so directories stand where files belong."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    if wrong == ".env":
        (tmp_path / ".env").write_bytes(b"API_HOST=\xff\n")
    elif wrong == "a file in its path":
        (data_dir / "file").touch()
        data_dir /= "file/data"
    elif command in {"migrate", "status"}:
        (data_dir / "lock").mkdir()  # these commands read it instead of the secret
        (data_dir / "postgres").mkdir()
    elif wrong == "an unreadable secret":
        (data_dir / "secret").mkdir()
    else:
        (data_dir / "secret").touch()
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", command, *(["alice"] if command == "token" else [])],
        env={**os.environ, "DATA_DIR": str(data_dir), "API_PORT": "0", "PYTHONPATH": str(RUN.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr


@pytest.mark.parametrize(
    "command", [("status",), ("verify",), ("rebuild",), ("history", "alice"), ("erase", "alice", "--yes")]
)
def test_what_cannot_start_says_so_in_one_sentence(tmp_path: Path, command: tuple[str, ...]) -> None:
    env = {**os.environ, "DATA_DIR": str(tmp_path / "none"), "DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", *command], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "There is no ledger" in done.stderr

"""`./run` as a user meets it: real processes, a DATA_DIR and a port of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest

from tests.servers import eventually

RUN = Path(__file__).parents[2] / "run"
START_SECONDS = 60
STOP_SECONDS = 5

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@dataclass(kw_only=True)
class Run:
    """One `./run serve`, its settings, and what it printed."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    output: Path

    def printed(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> str:
        """The address it listens on."""

        def listening() -> re.Match[str] | None:
            assert self.process.poll() is None, self.printed()
            return re.search(r"listens on (\S+)", self.printed())

        return eventually(listening, START_SECONDS)[1]

    def token(self, user: str) -> str:
        answer = subprocess.run([RUN, "token", user], env=self.env, capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def processes(self) -> dict[int, str]:
        """The command lines of all living processes that were started with this DATA_DIR, or work in it."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (directory / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if command and self.env["DATA_DIR"] in command + environment:
                found[int(directory.name)] = command
        return found

    def wait_for_end(self) -> int:
        return self.process.wait(STOP_SECONDS)


StartRun = Callable[..., Run]


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[StartRun]:
    """Start `./run` in a DATA_DIR of this test, on a free port; end what is left of it afterwards."""
    runs: list[Run] = []

    def start(**settings: str) -> Run:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV_"))}
        env |= {"DATA_DIR": str(tmp_path / "data"), "API_PORT": "0"} | settings
        output = tmp_path / f"output-{len(runs)}"
        with output.open("wb") as file:
            process = subprocess.Popen([RUN], env=env, stdout=file, stderr=file, cwd="/", start_new_session=True)
        runs.append(Run(process=process, env=env, output=output))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()


def create_task(run: Run, url: str, title: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {run.token('alice')}"}
    return httpx.post(f"{url}/api/alice/tasks", json={"title": title}, headers=headers, timeout=10)


def titles(run: Run, url: str) -> list[str]:
    headers = {"Authorization": f"Bearer {run.token('alice')}"}
    return [task["title"] for task in httpx.get(f"{url}/api/alice/tasks", headers=headers, timeout=10).json()]


def only_sentence(run: Run) -> str:
    """What a run that refused to start printed: one line, and nothing else."""
    assert run.process.wait(START_SECONDS) == 1, run.printed()
    lines = run.printed().splitlines()
    assert len(lines) == 1, run.printed()
    return lines[0]


def test_run_prints_where_it_listens_and_how_to_call_it_once_it_answers(start_run: StartRun) -> None:
    run = start_run()
    url = run.wait_until_ready()
    assert httpx.get(f"{url}/health").json()["status"] == "healthy"
    assert f"{url}/docs" in run.printed()
    assert "./run token alice" in run.printed()
    assert run.env["DATA_DIR"] in run.printed()


def test_the_curl_that_run_prints_creates_a_task(start_run: StartRun) -> None:
    run = start_run()
    run.wait_until_ready()
    call = re.search(r"curl .*?/api/alice/tasks", run.printed(), re.DOTALL)
    assert call
    answer = subprocess.run(
        ["sh", "-c", f"{call[0]} -s -w ' %{{http_code}}'"],
        cwd=RUN.parent,
        env=run.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.endswith(" 201"), answer


def test_a_port_in_use_is_one_sentence(start_run: StartRun) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = only_sentence(start_run(API_PORT=str(port)))
    assert f"port {port}" in sentence
    assert "API_PORT" in sentence


@pytest.mark.parametrize("to_the_group", [False, True], ids=["the parent", "the process group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_within_five_seconds(
    start_run: StartRun, number: signal.Signals, to_the_group: bool
) -> None:
    run = start_run()
    run.wait_until_ready()
    assert len(run.processes()) > 4, run.processes()
    (os.killpg if to_the_group else os.kill)(run.process.pid, number)
    assert run.wait_for_end() == 0, run.printed()
    assert run.processes() == {}


def test_a_signal_during_the_start_leaves_no_process(start_run: StartRun) -> None:
    run = start_run()
    eventually(lambda: any("postgres -D" in command for command in run.processes().values()), START_SECONDS)
    run.process.terminate()
    assert run.wait_for_end() == 0, run.printed()
    assert run.processes() == {}


def test_after_kill_9_no_process_is_left_and_the_next_start_has_every_task(start_run: StartRun) -> None:
    run = start_run()
    url = run.wait_until_ready()
    assert create_task(run, url, "acknowledged").status_code == 201
    run.process.kill()
    run.process.wait()
    eventually(lambda: run.processes() == {}, timeout=STOP_SECONDS)
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
    eventually(lambda: run.processes() == {}, timeout=STOP_SECONDS)
    file.write_text("\n".join([str(os.getpid()), *rest]))
    start_run().wait_until_ready()


@pytest.mark.parametrize("victim", ["postgres -D", "valkey-server", "tasklog gateway", "tasklog projector"])
def test_a_process_that_dies_is_started_again(start_run: StartRun, victim: str) -> None:
    run = start_run()
    url = run.wait_until_ready()
    (killed,) = (number for number, command in run.processes().items() if victim in command)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: any(victim in cmd and number != killed for number, cmd in run.processes().items()))
    eventually(lambda: create_task(run, url, "after").status_code == 201)
    assert "after" in titles(run, url)


def test_a_second_run_on_the_same_data_is_refused_in_one_sentence(start_run: StartRun) -> None:
    first = start_run()
    first.wait_until_ready()
    sentence = only_sentence(start_run())
    assert "already runs" in sentence
    assert first.env["DATA_DIR"] in sentence
    assert first.process.poll() is None


def test_a_data_dir_too_deep_for_sockets_works_and_keeps_its_socket_directory(
    start_run: StartRun, tmp_path: Path
) -> None:
    deep = tmp_path / ("deep " * 12) / "data"
    for _ in range(2):
        run = start_run(DATA_DIR=str(deep))
        run.wait_until_ready()
        sockets = (deep / "sockets.path").read_text()
        run.process.terminate()
        assert run.wait_for_end() == 0
    assert (deep / "sockets.path").read_text() == sockets


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "mysql://localhost/tasklog", "not a url"])
def test_a_wrong_database_url_is_one_sentence(start_run: StartRun, url: str) -> None:
    sentence = only_sentence(start_run(DATABASE_URL=url, BETTER_AUTH_SECRET="s" * 32))
    assert "DATABASE_URL" in sentence


@pytest.mark.parametrize("secret", ["", "short", "better-auth-secret-12345678901234567890"])
def test_a_given_database_wants_a_real_secret(start_run: StartRun, secret: str) -> None:
    run = start_run(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", BETTER_AUTH_SECRET=secret)
    assert "BETTER_AUTH_SECRET" in only_sentence(run)


def test_token_prints_a_token_and_nothing_else(start_run: StartRun) -> None:
    run = start_run()
    run.wait_until_ready()
    secret = (Path(run.env["DATA_DIR"]) / "secret").read_text()
    claims = jwt.decode(run.token("alice"), secret, algorithms=["HS256"])
    assert claims["sub"] == "alice"
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_token_without_a_secret_is_one_sentence(tmp_path: Path) -> None:
    env = os.environ | {"DATA_DIR": str(tmp_path / "never started")}
    answer = subprocess.run([RUN, "token", "alice"], env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


def test_the_secret_of_the_data_dir_stays_the_same_and_private(start_run: StartRun) -> None:
    secrets = []
    for _ in range(2):
        run = start_run()
        run.wait_until_ready()
        file = Path(run.env["DATA_DIR"]) / "secret"
        secrets.append(file.read_text())
        assert file.stat().st_mode & 0o077 == 0
        run.process.terminate()
        assert run.wait_for_end() == 0
    assert secrets[0] == secrets[1]


def test_migrate_works_beside_a_running_service_and_without_one(start_run: StartRun) -> None:
    run = start_run()
    run.wait_until_ready()
    for _ in range(2):
        subprocess.run([RUN, "migrate"], env=run.env, check=True, capture_output=True)
        run.process.terminate()
        run.wait_for_end()
    assert run.processes() == {}


def test_help_names_every_command() -> None:
    answer = subprocess.run([RUN, "help"], capture_output=True, text=True, check=True, cwd="/")
    for command in ("serve", "command-api", "read-api", "projector", "migrate", "token", "test", "check"):
        assert command in answer.stdout

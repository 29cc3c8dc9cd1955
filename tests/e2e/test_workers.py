"""Several processes on one port: they share the work, and are replaced without a client noticing.

Seen to fail: see each test's docstring.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.admin import value
from tests.e2e.all_in_one import START_SECONDS, STOP_SECONDS, StartRun
from tests.e2e.shell import Shell
from tests.machine import free_ports
from tests.servers import SECRET, Servers, assert_takes_less, client_of, eventually
from tests.workers import RESTARTED, Supervised, clients_of, supervised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

NEWER = "COMMENT ON SEQUENCE tasklog.task_ids IS 'tasklog 0123456789ab at 9999 for 9999'"
COMMENT = "SELECT obj_description('tasklog.task_ids'::regclass, 'pg_class')"
COUNTED = "SELECT count(*) FROM tasklog.events"


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    ports = {"ADMIN_PORT": str(free_ports(2))}
    with supervised(servers, tmp_path_factory.mktemp("workers"), "gateway", API_WORKERS="2", **ports) as found:
        yield found


def admin_ports(running: Supervised) -> list[str]:
    first = int(running.env["ADMIN_PORT"])
    return [f"http://127.0.0.1:{port}" for port in (first, first + 1)]


def test_both_workers_answer_on_one_port_and_their_log_lines_tell_them_apart(running: Supervised) -> None:
    def have_answered() -> bool:
        assert httpx.get(f"{running.url}/health").status_code == 200
        return {line.get("worker") for line in running.lines() if line["event"] == "request"} == {1, 2}

    assert len(running.workers()) == 2
    assert eventually(have_answered)


def test_each_worker_has_an_admin_port_which_status_and_the_health_check_know(
    running: Supervised, tmp_path: Path
) -> None:
    started = {value(url, "process_start_time_seconds") for url in admin_ports(running)}
    assert len(started) == 2
    shell = Shell(directory=tmp_path, database=running.database, redis_url=running.env["REDIS_URL"])
    first = int(running.env["ADMIN_PORT"])
    shown = [{"service": "gateway", "worker": n + 1, "port": first + n} for n in range(2)]
    assert eventually(lambda: shell.json("status")["processes"] == shown)
    assert f"Admin:      gateway 1 on port {first}, gateway 2 on port {first + 1}\n" in shell.run("status").stdout
    settings = {"ADMIN_PORT": str(first), "API_WORKERS": "2"}
    assert shell.run("healthcheck", "api", **settings).returncode == 0
    assert "port" in shell.run("healthcheck", "api", **settings | {"API_WORKERS": "3"}).stderr


def test_sighup_replaces_the_workers_and_no_request_is_refused_or_lost(running: Supervised) -> None:
    """Seen to fail: with old workers that are killed instead of drained."""
    before = running.workers()
    restarted = running.logged().count(RESTARTED)
    with clients_of(running.url, users=4) as seen:
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(RESTARTED, restarted + 1)
    assert seen.errors == {}
    assert set(seen.answers) == {200, 201}
    assert len(running.workers()) == 2
    assert not set(running.workers()) & set(before)
    ((events,),) = running.database.execute(COUNTED)
    assert events == seen.answers[201]
    assert running.logged().count("Traceback") == 0


def test_workers_stay_if_new_ones_cannot_start(running: Supervised) -> None:
    """Seen to fail: with the old worker ended in any case."""
    before = running.workers()
    ((right,),) = running.database.execute(COMMENT)
    running.database.execute(NEWER)
    try:
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("was not replaced, nor those after it")
    finally:
        running.database.execute(f"COMMENT ON SEQUENCE tasklog.task_ids IS '{right}'")
    assert set(running.workers()) == set(before)
    assert httpx.get(f"{running.url}/health").status_code == 200


def test_a_worker_that_dies_is_started_again_and_the_other_one_answers_meanwhile(running: Supervised) -> None:
    """Seen to fail: with workers that are not looked after."""
    killed, stays = running.workers()
    os.kill(killed, signal.SIGKILL)
    with client_of(running.url, "after") as user:
        assert user.post("/api/after/tasks", json={"title": "x"}).status_code == 201
    assert eventually(lambda: len(set(running.workers()) - {killed}) == 2)
    assert stays in running.workers()
    for url in admin_ports(running):
        assert eventually(lambda url=url: is_ready(url))  # type: ignore[misc]


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_workers_that_cannot_start_say_why_once(servers: Servers) -> None:
    """Seen to fail: with all workers started at once."""
    with servers.cloned() as database:
        missing = {name: url.replace(database.name, "missing") for name, url in database.service_urls.items()}
        env = {**os.environ, **missing, "API_WORKERS": "3", "API_PORT": "0", "BETTER_AUTH_SECRET": SECRET}
        done = subprocess.run(
            [sys.executable, "-m", "tasklog", "gateway"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 78
    assert done.stderr.count("COMMAND_DATABASE_URL") == 1, done.stderr


@pytest.mark.alone
def test_projectors_are_replaced_as_well(servers: Servers, tmp_path: Path) -> None:
    def seconds_to_end() -> float:
        with supervised(servers, tmp_path, "projector", PROJECTOR_WORKERS="2") as running:
            before = running.workers()
            assert len(before) == 2
            running.process.send_signal(signal.SIGHUP)
            running.wait_for(RESTARTED)
            assert len(running.workers()) == 2
            assert not set(running.workers()) & set(before)
            began = time.monotonic()
            running.process.terminate()
            assert running.process.wait(START_SECONDS) == 0
            return time.monotonic() - began

    assert_takes_less(STOP_SECONDS, seconds_to_end)


@pytest.mark.alone
def test_a_closed_terminal_ends_the_workers_as_before(servers: Servers, tmp_path: Path) -> None:
    """Seen to fail: with every SIGHUP taken as the wish for new workers."""

    def seconds_to_end() -> float:
        with servers.cloned() as database, servers.emptied_redis() as redis_url:
            env = {**os.environ, **database.service_urls, "REDIS_URL": redis_url, "API_WORKERS": "1"}
            env |= {"API_PORT": "0", "BETTER_AUTH_SECRET": SECRET}
            terminal, line = pty.openpty()
            code = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); sys.argv[0] = 'tasklog'\n"
            code += "import runpy; runpy.run_module('tasklog', run_name='__main__', alter_sys=True)"
            log = (tmp_path / "log").open("wb")
            process = subprocess.Popen(
                [sys.executable, "-c", code, "gateway"],
                env=env, stdin=line, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                os.close(line)
                eventually(lambda: "worker of gateway run" in (tmp_path / "log").read_text(), 60)
                began = time.monotonic()
                os.close(terminal)
                assert process.wait(START_SECONDS) == 0
                took = time.monotonic() - began
                assert RESTARTED not in (tmp_path / "log").read_text()
                return took
            finally:
                process.kill()
                process.wait()
                log.close()

    assert_takes_less(STOP_SECONDS, seconds_to_end)


@pytest.mark.alone
def test_run_has_workers_too_and_ends_with_all_of_them_within_five_seconds(start_run: StartRun) -> None:
    def seconds_to_end() -> float:
        run = start_run(API_WORKERS="2")
        url = run.wait_until_ready()
        gateways = {number for number, command in run.processes().items() if "tasklog gateway" in command}
        assert len(gateways) == 2
        os.kill(run.process.pid, signal.SIGHUP)
        with clients_of(url, users=1) as seen:
            eventually(lambda: RESTARTED in run.printed())
        assert seen.errors == {}
        os.kill(run.process.pid, signal.SIGHUP)
        eventually(lambda: run.printed().count("Restarting the workers") == 2)
        return run.seconds_to_end(run.process.terminate)

    assert_takes_less(STOP_SECONDS, seconds_to_end)

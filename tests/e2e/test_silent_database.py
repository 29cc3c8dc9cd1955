"""SIGTERM while Postgres is silent, frozen or cut off: every process answers open requests, and ends in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tasklog.supervision.service import Service
from tests.fail_over import Pair, running_pair
from tests.servers import SECRET, eventually, running_service

TASKS: Final = "/api/alice/tasks"
ENDS: Final = 20
"""How long a process may take to end on a busy machine, in seconds."""
GRACE: Final = 10
"""How long compose waits for a service to end, in seconds."""

OF_PROJECTOR: Final = "SELECT FROM pg_stat_activity WHERE usename = 'tasklog_projector'"


class Asked:
    """A request whose answer is awaited in the background."""

    def __init__(self, http: httpx.Client, method: str, path: str) -> None:
        self.answer: httpx.Response | None = None
        self._thread = threading.Thread(target=self._ask, args=(http, method, path))
        self._thread.start()

    def _ask(self, http: httpx.Client, method: str, path: str) -> None:
        body = {"title": "owed"} if method == "POST" else None
        self.answer = http.request(method, path, json=body)

    def answered(self) -> httpx.Response:
        self._thread.join(ENDS)
        assert self.answer is not None, "no answer"
        return self.answer


def assert_ended(service: Service, log: Path, seconds: float = ENDS) -> None:
    """Check that it ends after a signal: in time, with code 0, and silently."""
    assert service.process is not None
    assert service.process.wait(seconds) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert "Cancelled" not in log.read_text()


@contextmanager
def started(pair: Pair, directory: Path, command: str, **env: str) -> Iterator[tuple[Service, Path]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    settings = {"BETTER_AUTH_SECRET": SECRET, "API_PORT": "0", "DATA_DIR": str(directory / "data"), **env}
    log = directory / f"{command}.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        service = Service(command, env=inherited | pair.database.service_urls | settings, output=output)
        stack.callback(service.stop, timeout=1)
        service.start()
        yield service, log


@pytest.mark.alone
def test_requests_in_flight_are_answered_before_the_gateway_ends(redis_url: str, tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair, running_service(pair.database, redis_url, tmp_path / "log") as service:
        clients = [service.client("alice") for _ in range(3)]
        task = clients[0].post(TASKS, json={"title": "there"}).json()["id"]
        service.projector.stop(timeout=5)
        eventually(lambda: not pair.primary.execute(OF_PROJECTOR))  # so the proxy holds back nothing of it
        pair.freeze()
        paths = [("GET", TASKS), ("GET", f"{TASKS}/{task}"), ("POST", TASKS)]
        owed = [Asked(http, *asked) for http, asked in zip(clients, paths, strict=True)]
        eventually(lambda: pair.proxy.held == len(owed))
        service.gateway.ask_to_stop()
        for asked in owed:
            answer = asked.answered()
            assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1")
            assert isinstance(answer.json()["detail"], str)
        assert_ended(service.gateway, service.log, GRACE)


@pytest.mark.alone
def test_a_projector_at_work_ends(redis_url: str, tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair, running_service(pair.database, redis_url, tmp_path / "log") as service:
        pair.freeze()
        eventually(lambda: pair.proxy.held)
        service.projector.ask_to_stop()
        assert_ended(service.projector, service.log, GRACE)


@pytest.mark.parametrize("command", ["gateway", "command-api", "read-api", "projector"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_start_that_waits_for_a_silent_database_can_be_stopped(
    tmp_path: Path, silent: Pair, command: str, number: signal.Signals
) -> None:
    before = silent.proxy.connections
    with started(silent, tmp_path, command) as (service, log):
        eventually(lambda: silent.proxy.connections > before)
        assert service.process is not None
        service.process.send_signal(number)
        assert_ended(service, log)


def test_a_start_on_a_silent_database_says_so_in_a_sentence(tmp_path: Path, silent: Pair) -> None:
    with started(silent, tmp_path, "projector") as (service, log):
        assert service.process is not None
        began = time.monotonic()
        assert service.process.wait(60) == 78
        assert time.monotonic() - began < 40
        (sentence,) = log.read_text().splitlines()
        assert sentence == (
            "The database of PROJECTOR_DATABASE_URL cannot be used (no answer in time): "
            "check the URL and that Postgres runs."
        )


def test_run_that_waits_for_a_silent_database_can_be_stopped(tmp_path: Path, silent: Pair, redis_url: str) -> None:
    before = silent.proxy.connections
    owner = {"DATABASE_URL": silent.database.owner, "REDIS_URL": redis_url}
    with started(silent, tmp_path, "serve", **owner) as (service, log):
        eventually(lambda: silent.proxy.connections > before)
        service.ask_to_stop()
        assert_ended(service, log)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Yield an address at which nobody answers."""
    with running_pair(tmp_path_factory.mktemp("silent")) as pair:
        pair.freeze()
        yield pair
        pair.thaw()

"""The services as `compose.yaml` runs them: a command and a process each, with one database between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import httpx
import pytest

from tasklog.supervision.service import Service
from tests.machine import free_port
from tests.servers import SECRET, Database, Servers, client_of, eventually

UNPROJECTED = (
    "SELECT FROM tasklog.streams LEFT JOIN tasklog.checkpoints USING (user_id) WHERE head > coalesce(position, 0)"
)


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A client for each API, with Alice's token, and the database."""

    commands: httpx.Client
    reads: httpx.Client
    database: Database


@pytest.fixture(scope="module")
def apart(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Start each service with only its own login; the owner's is for `migrate`."""
    database = servers.database(f"tasklog_apart_{os.getpid()}")
    shared = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    servers.execute(f"CREATE DATABASE {database.name}")
    with ExitStack() as stack:
        stack.callback(servers.execute, f"DROP DATABASE {database.name} WITH (FORCE)")
        shared |= {"BETTER_AUTH_SECRET": SECRET, "REDIS_URL": stack.enter_context(servers.emptied_redis())}
        output = stack.enter_context((tmp_path_factory.mktemp("apart") / "log").open("wb"))

        def start(command: str, **env: str) -> Service:
            service = Service(command, env=shared | env, output=output)
            stack.callback(service.stop, timeout=5)
            service.start()
            return service

        def api(command: str, **env: str) -> httpx.Client:
            port = free_port()
            service = start(command, API_PORT=str(port), **env)
            client = stack.enter_context(client_of(f"http://127.0.0.1:{port}", "alice"))
            eventually(lambda: answers(client, service))
            return client

        migrate = start("migrate", DATABASE_URL=database.owner, **database.service_urls)
        assert migrate.process is not None
        assert migrate.process.wait(120) == 0
        start("projector", PROJECTOR_DATABASE_URL=database.projector)
        yield Apart(
            commands=api("command-api", COMMAND_DATABASE_URL=database.writer),
            reads=api("read-api", READ_DATABASE_URL=database.reader),
            database=database,
        )


def answers(client: httpx.Client, service: Service) -> bool:
    assert service.process is not None
    assert service.process.poll() is None
    with suppress(httpx.TransportError):
        return bool(client.get("/health").json()["status"] == "healthy")
    return False


def test_what_one_service_wrote_the_other_reads_at_once_and_the_third_projects(apart: Apart) -> None:
    for number in range(1, 4):
        written = apart.commands.post("/api/alice/tasks", json={"title": f"Task {number}"})
        assert written.status_code == 201
        assert apart.reads.get(f"/api/alice/tasks/{written.json()['id']}").json() == written.json()
        assert len(apart.reads.get("/api/alice/tasks").json()) == number
    eventually(lambda: apart.database.execute(UNPROJECTED) == [])
    assert len(apart.database.execute("TABLE tasklog.tasks")) == 3
    assert len(apart.reads.get("/api/alice/tasks").json()) == 3


def test_each_service_answers_health_and_refuses_the_others_methods(apart: Apart) -> None:
    """Every path of the contract exists in both services: a 405 names its methods."""
    for client in (apart.commands, apart.reads):
        assert client.get("/health").json()["status"] == "healthy"
        assert client.get("/api/alice/nothing").status_code == 404
    refused = [
        apart.commands.get("/api/alice/tasks"),
        apart.commands.get("/api/alice/history"),
        apart.reads.post("/api/alice/tasks", json={"title": "Milk"}),
        apart.reads.patch("/api/alice/tasks/1/complete"),
    ]
    assert [answer.status_code for answer in refused] == [405] * 4
    assert [answer.headers["allow"] for answer in refused] == [
        "GET, HEAD, POST",
        "GET, HEAD",
        "GET, HEAD, POST",
        "PATCH",
    ]
    assert apart.database.execute("SELECT FROM tasklog.events WHERE data ->> 'title' = 'Milk'") == []

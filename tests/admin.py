"""Services with admin ports, and the metrics that they export."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from tasklog.supervision.service import Service
from tests.servers import Database, RunningService, Servers, eventually, running_service

LATE = """
    WITH old AS (UPDATE tasklog.events SET recorded_at = recorded_at - interval '31 s' WHERE user_id = $1)
    UPDATE tasklog.streams SET unprojected_since = now() - interval '31 s' WHERE user_id = $1"""
"""Let a user's unprojected events have waited for longer than is right."""
OPEN = "the admin port is open"


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A running service, and the addresses of the admin ports of its processes."""

    service: RunningService
    gateway: str
    projector: str

    @property
    def database(self) -> Database:
        return self.service.database

    def execute(self, statement: str, *args: object) -> list[Any]:
        """Run a statement as the owner, in a thread of its own: Playwright's loop may run in this one."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self.service.database.execute, statement, *args).result()

    def park(self, user: str) -> None:
        """Give a new user one task, whose event cannot be projected."""
        with stopped(self.service.projector):
            task = {"title": "A secret title"}
            assert self.service.client(user).post(f"/api/{user}/tasks", json=task).status_code == 201
            self.execute("UPDATE tasklog.events SET type = 'task.renamed' WHERE user_id = $1", user)
        eventually(lambda: self.is_parked(user))

    def mend(self, user: str) -> None:
        """Repair the event. The user stays parked until the next attempt."""
        self.execute("UPDATE tasklog.events SET type = 'task.created' WHERE user_id = $1", user)

    def is_parked(self, user: str) -> bool:
        parked = "SELECT FROM tasklog.checkpoints WHERE user_id = $1 AND parked_until IS NOT NULL"
        return bool(self.execute(parked, user))

    def ready(self, url: str) -> tuple[int, str]:
        """Return the status of /ready, and why it is not."""
        answer = httpx.get(f"{url}/ready", timeout=20)
        body = answer.json()
        return answer.status_code, body.get("detail", body["status"])


@contextmanager
def stopped(service: Service) -> Iterator[None]:
    """Stop a process, as a debugger does, while the block runs."""
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        service.process.send_signal(signal.SIGCONT)


@contextmanager
def watched_service(database: Database, redis_url: str, log: Path, **env: str) -> Iterator[Watched]:
    """Start gateway and projector with admin ports on free ports of this machine."""
    with running_service(database, redis_url, log, ADMIN_PORT="0", **env) as service:
        urls = eventually(lambda: _urls(service))
        yield Watched(service=service, gateway=urls["gateway"], projector=urls["projector"])


@contextmanager
def watched(servers: Servers, directory: Path) -> Iterator[Watched]:
    """Start them on a database and a Redis of their own."""
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        watched_service(database, redis_url, directory / "service.log") as found,
    ):
        yield found


def _urls(service: RunningService) -> dict[str, str]:
    """Return the last address that each process has logged; nothing before both have."""
    lines = [json.loads(line) for line in service.logged().splitlines() if OPEN in line]
    urls = {line["service"]: line["url"] for line in lines}
    return urls if len(urls) == 2 else {}


def exported(url: str) -> set[str]:
    """Return the names of all metrics, as they are written in rules; histograms without the names of their parts."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=20).raise_for_status().text)
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the value of each sample, by its name and labels."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=20).raise_for_status().text)
    found = [sample for family in families for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def value(url: str, name: str, **labels: str) -> float | None:
    """Return the value of one sample, None without it."""
    return samples(url).get((name, frozenset(labels.items())))


@contextmanager
def held(database: Database, lock: str, *args: object) -> Iterator[None]:
    """Hold a lock that a statement takes."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database.owner))
        try:
            runner.run(connection.execute("BEGIN"))
            runner.run(connection.execute(lock, *args))
            yield
        finally:
            runner.run(connection.close())


@contextmanager
def unreachable(servers: Servers, database: Database) -> Iterator[None]:
    """Let the services reach the server, but not the database: it ends their sessions and admits no new one."""
    servers.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT 0")
    servers.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database.name}' AND usename LIKE 'tasklog%'"
    )
    try:
        yield
    finally:
        servers.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT -1")

"""Servers and processes go away and come back: acknowledged writes are there, and the service heals by itself.

Seen to fail: with an error of Redis passed on when the projector's arq worker closes, and with asyncpg's
InternalClientError, which a killed server can cause, not treated as an outage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import pytest
from redis import Redis

import migrations
from runtime.settings import SettingsError
from runtime.wakeup import CHANNEL
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tests.servers import Database, RunningService, Servers, eventually, running_service

LAG = """
    SELECT coalesce(sum(s.head - coalesce(c.position, 0)), 0)
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
"""


@dataclass(kw_only=True)
class Machine:
    """A test's own servers, which it can stop and start, and the service on them."""

    postgres: Postgres
    valkey: Valkey
    service: RunningService

    def start_postgres_again(self) -> None:
        """Start Postgres, and retry while processes of a killed one still use its memory."""

        def started() -> bool:
            with suppress(SettingsError):
                self.postgres.start()
                return True
            return False

        eventually(started)

    def projected(self) -> bool:
        return bool(self.service.database.execute(LAG)[0][0] == 0)

    def listens(self) -> bool:
        """Return whether the projector and the gateway are subscribed to the wake-up."""
        with Redis.from_url(self.valkey.url) as redis:
            return bool(redis.pubsub_numsub(CHANNEL)[0][1] == 2)

    def assert_projected_exactly(self, titles: list[str], user: str = "alice") -> None:
        """Check that each task is in the ledger once and in the read table once, and nothing else is."""
        eventually(self.projected)
        for table in ("events WHERE type = 'task.created' AND", "tasks WHERE"):
            column = "data ->> 'title'" if table.startswith("events") else "title"
            rows = self.service.database.execute(f"SELECT {column} FROM tasklog.{table} user_id = '{user}'")
            assert sorted(row[0] for row in rows) == sorted(titles)
        parked = self.service.database.execute("SELECT user_id FROM tasklog.checkpoints WHERE error IS NOT NULL")
        assert parked == []


@contextmanager
def machine(directory: Path, *, redis: bool = True) -> Iterator[Machine]:
    data_dir = open_data_dir(directory / "data")
    sockets = socket_dir(data_dir)
    postgres, valkey = Postgres(data_dir, sockets, {"fsync": "off"}), Valkey(data_dir, sockets)
    try:
        postgres.start()
        if redis:
            valkey.start()
        database = Servers(postgres_url=postgres.url(), redis_url=valkey.url).database("tasklog")
        migrations.upgrade(database.owner, list(database.service_urls.values()))
        with running_service(database, valkey.url, directory / "service.log") as service:
            yield Machine(postgres=postgres, valkey=valkey, service=service)
    finally:
        valkey.stop(timeout=2)
        postgres.stop(timeout=5)


class Load:
    """A user's clients that write without a pause, each task with its own title, and read it at once."""

    def __init__(self, service: RunningService, clients: int = 4) -> None:
        self._service, self._stopping = service, threading.Event()
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Wait until more writes are acknowledged."""
        wanted = len(self.acknowledged) + 20
        eventually(lambda: len(self.acknowledged) >= wanted, timeout=20)

    def _write(self, client: int) -> None:
        http, n = self._service.client("alice"), 0
        while not self._stopping.is_set():
            n += 1
            title = f"{client}-{n}"
            answer = http.post("/api/alice/tasks", json={"title": title})
            if answer.status_code == 201:
                self.acknowledged.append(title)
                self._read(http, answer.json())
            elif answer.status_code == 503 and "Retry-After" in answer.headers:
                self.unknown.append(title)
                self._stopping.wait(0.02)
            else:
                self.wrong.append(answer.text)

    def _read(self, http: httpx.Client, task: dict[str, object]) -> None:
        answer = http.get(f"/api/alice/tasks/{task['id']}")
        unavailable = answer.status_code == 503 and "Retry-After" in answer.headers
        if not unavailable and (answer.status_code != 200 or answer.json() != task):
            self.wrong.append(answer.text)


def write_and_read(http: httpx.Client, titles: list[str], title: str) -> None:
    answer = http.post("/api/alice/tasks", json={"title": title})
    assert answer.status_code == 201
    titles.insert(0, title)
    assert [task["title"] for task in http.get("/api/alice/tasks").json()] == titles


def test_redis_is_absent_at_the_start_and_comes_later(tmp_path: Path) -> None:
    titles: list[str] = []
    with machine(tmp_path, redis=False) as running:
        http = running.service.client("alice")
        for n in range(3):
            write_and_read(http, titles, f"without {n}")
        running.assert_projected_exactly(titles)
        running.valkey.start()
        eventually(running.listens)
        write_and_read(http, titles, "with")
        running.assert_projected_exactly(titles)
        for process in (running.service.gateway, running.service.projector):
            assert process.process is not None
            assert process.process.poll() is None


def test_redis_is_flushed_stopped_killed_and_started_again(tmp_path: Path) -> None:
    titles: list[str] = []
    with machine(tmp_path) as running:
        http = running.service.client("alice")
        eventually(running.listens)
        write_and_read(http, titles, "before")
        with Redis.from_url(running.valkey.url) as redis:
            redis.flushall()
        write_and_read(http, titles, "flushed")
        running.assert_projected_exactly(titles)
        for politely in (True, False):
            if not politely:
                assert running.valkey.process is not None
                running.valkey.process.kill()
            running.valkey.stop(timeout=2)
            write_and_read(http, titles, f"away, {politely}")
            running.assert_projected_exactly(titles)
            running.valkey.start()
            eventually(running.listens)
            write_and_read(http, titles, f"back, {politely}")
            running.assert_projected_exactly(titles)


@pytest.mark.parametrize("politely", [True, False], ids=["restarted", "killed"])
def test_postgres_goes_away_under_load_and_comes_back(tmp_path: Path, politely: bool) -> None:
    """Answers are right or a 503; acknowledged writes are stored once, and writes with a 503 once or not at all."""
    with machine(tmp_path) as running:
        with Load(running.service) as load:
            load.goes_on()
            if not politely:
                assert running.postgres.process is not None
                running.postgres.process.kill()
            running.postgres.stop(timeout=5)
            eventually(lambda: load.unknown)
            running.start_postgres_again()
            load.goes_on()
        eventually(running.projected)
        assert load.wrong == []
        rows = running.service.database.execute("SELECT title FROM tasklog.tasks")
        stored = [row["title"] for row in rows]
        assert len(set(stored)) == len(stored)
        assert set(load.acknowledged) <= set(stored) <= {*load.acknowledged, *load.unknown}
        assert running.service.client().get("/health").status_code == 200


def test_a_projector_killed_under_load_loses_nothing_and_delays_no_answer(
    service: RunningService, database: Database
) -> None:
    with Load(service) as load:
        for _ in range(3):
            load.goes_on()
            assert service.projector.process is not None
            service.projector.process.kill()
            service.projector.process.wait()
            load.goes_on()
            service.projector.start()
    assert (load.wrong, load.unknown) == ([], [])
    running = Machine(postgres=None, valkey=None, service=service)  # type: ignore[arg-type]
    running.assert_projected_exactly(load.acknowledged)

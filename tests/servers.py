"""The real servers and processes that tests use, and how tests wait for them."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, overload
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import jwt
import pytest
from redis import Redis

import migrations
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tasklog.serving.listener import listen, url_of
from tasklog.supervision.health_probe import HealthProbe
from tasklog.supervision.service import Service
from tests.documented import check_answer

T = TypeVar("T")

SECRET = "a secret of the tests, long enough for HS256"
_ROLE_PASSWORD = "password-of-the-tests"
_REDIS_DATABASES = 16
_TEMPLATE = f"tasklog_template_{os.getpid()}"
_numbers = count(1)
_redis_in_use: set[int] = set()


@dataclass(frozen=True, kw_only=True)
class Database:
    """A separate, migrated database for one test: its URLs for the owner and for each service."""

    name: str
    owner: str
    writer: str
    projector: str
    reader: str
    pooler: Literal["auto", "yes"] = "auto"

    @property
    def service_urls(self) -> dict[str, str]:
        return {
            "COMMAND_DATABASE_URL": self.writer,
            "PROJECTOR_DATABASE_URL": self.projector,
            "READ_DATABASE_URL": self.reader,
        }

    def execute(self, statement: str, *args: object) -> list[asyncpg.Record]:
        """Run a statement as the owner, who may read and change everything, and return its rows."""
        return run_async(_execute(self.owner, statement, *args))


@dataclass(frozen=True, kw_only=True)
class Servers:
    """One Postgres and one Redis for all tests of a session."""

    postgres_url: str
    redis_url: str

    def database(self, name: str) -> Database:
        parts = urlsplit(self.postgres_url)
        host = parts.netloc.rpartition("@")[2]

        def url(login: str) -> str:
            return urlunsplit(parts._replace(netloc=login, path=f"/{name}"))

        def own(role: str) -> str:
            return url(f"tasklog_{role}:{_ROLE_PASSWORD}@{host}")

        return Database(
            name=name, owner=url(parts.netloc), writer=own("writer"), projector=own("projector"), reader=own("reader")
        )

    def redis(self, database: int) -> str:
        if self.redis_url.startswith("unix:"):
            return f"{self.redis_url}?db={database}"
        return urlunsplit(urlsplit(self.redis_url)._replace(path=f"/{database}"))

    def execute(self, statement: str) -> list[asyncpg.Record]:
        """Run a statement as the superuser, outside the databases of tests, and return its rows."""
        return run_async(_execute(self.postgres_url, statement))

    @contextmanager
    def migrated_template(self) -> Iterator[None]:
        """Create the migrated database that `cloned` copies."""
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        template = self.database(_TEMPLATE)
        try:
            migrations.upgrade(template.owner, list(template.service_urls.values()))
            yield
        finally:
            self.execute(f"DROP DATABASE {_TEMPLATE} WITH (FORCE)")

    @contextmanager
    def cloned(self) -> Iterator[Database]:
        """Yield a migrated, empty database."""
        name = f"tasklog_test_{os.getpid()}_{next(_numbers)}"
        # Measured: 13 ms to copy files and drop; 25 ms with WAL_LOG.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY FILE_COPY")
        try:
            yield self.database(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def emptied_redis(self) -> Iterator[str]:
        """Yield the URL of an empty logical Redis database, which nobody else gets until the block ends."""
        numbers = (next(_numbers) % _REDIS_DATABASES for _ in range(_REDIS_DATABASES))
        number = next(number for number in numbers if number not in _redis_in_use)
        _redis_in_use.add(number)
        try:
            with Redis.from_url(self.redis(number)) as redis:
                redis.flushdb()
            yield self.redis(number)
        finally:
            _redis_in_use.remove(number)


async def _execute(url: str, statement: str, *args: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return cast(list[asyncpg.Record], await connection.fetch(statement, *args))
    finally:
        await connection.close()


@contextmanager
def started_servers(directory: Path) -> Iterator[Servers]:
    """Yield the servers of TEST_DATABASE_URL and TEST_REDIS_URL, or embedded ones, without fsync as nothing is kept."""
    data_dir = open_data_dir(directory)
    sockets = socket_dir(data_dir)
    with ExitStack() as stack:
        postgres_url = os.environ.get("TEST_DATABASE_URL")
        if not postgres_url:
            postgres = Postgres(data_dir, sockets, {"fsync": "off"})
            stack.callback(postgres.stop, timeout=5)
            postgres.start()
            postgres_url = postgres.url(database="postgres")
        redis_url = os.environ.get("TEST_REDIS_URL")
        if redis_url and "PYTEST_XDIST_WORKER" in os.environ:
            pytest.exit("Workers would empty each other's databases in TEST_REDIS_URL: leave out -n, or the URL.", 4)
        if not redis_url:
            valkey = Valkey(data_dir, sockets)
            stack.callback(valkey.stop, timeout=2)
            valkey.start()
            redis_url = valkey.url
        yield Servers(postgres_url=postgres_url, redis_url=redis_url)


def token(user: str, **claims: Any) -> str:
    """Return a user's token, valid for an hour; `claims` replace the defaults."""
    now = int(time.time())
    return jwt.encode({"sub": user, "iat": now, "exp": now + 3600} | claims, SECRET, algorithm="HS256")


def client_of(url: str, user: str | None = None, *, idle_seconds: float = 1) -> httpx.Client:
    """Return a client with a user's token, or none; it checks each answer against the OpenAPI document.

    It closes connections that were idle for `idle_seconds`, long before the service does: a request on a connection
    that the service is just closing would fail.
    """
    headers = {} if user is None else {"Authorization": f"Bearer {token(user)}"}
    limits, hooks = httpx.Limits(keepalive_expiry=idle_seconds), {"response": [check_answer]}
    return httpx.Client(base_url=url, headers=headers, timeout=20, limits=limits, event_hooks=hooks)


@dataclass(kw_only=True)
class RunningService:
    """Gateway and projector as separate processes, on a free port."""

    url: str
    database: Database
    gateway: Service
    projector: Service
    log: Path
    _clients: ExitStack = field(default_factory=ExitStack)

    def client(self, user: str | None = None) -> httpx.Client:
        """Return a client with a user's token, or none; it is closed with the service."""
        return self._clients.enter_context(client_of(self.url, user))

    def logged(self) -> str:
        """Return the whole lines of the log; the last one may still be incomplete."""
        text = self.log.read_text()
        return text[: text.rfind("\n") + 1]


@contextmanager
def running_service(database: Database, redis_url: str, log: Path, **env: str) -> Iterator[RunningService]:
    """Start gateway and projector on a database; yield when /health answers."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    settings = {"BETTER_AUTH_SECRET": SECRET, "REDIS_URL": redis_url, "DATABASE_POOLER": database.pooler}
    settings |= database.service_urls | env
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        listener = stack.enter_context(listen("127.0.0.1", 0))
        gateway = Service("gateway", env=inherited | settings, inherited=listener, output=output)
        projector = Service("projector", env=inherited | settings, output=output)
        for process in (projector, gateway):
            stack.callback(process.stop, timeout=5)
            process.start()
        with closing(HealthProbe(listener)) as probe:
            _wait_for_health(probe, gateway, log)
        service = RunningService(url=url_of(listener), database=database, gateway=gateway, projector=projector, log=log)
        stack.enter_context(service._clients)
        yield service


def _wait_for_health(probe: HealthProbe, gateway: Service, log: Path) -> None:
    def healthy() -> bool:
        assert gateway.process is not None
        assert gateway.process.poll() is None, f"The gateway ended at its start:\n{log.read_text()}"
        ready, _, _ = select.select([probe.waits_on()], [], [], 0.1)
        return bool(ready) and probe.succeeded()

    eventually(healthy)


def eventually(predicate: Callable[[], T], timeout: float = 60) -> T:
    """Return the first true answer of a predicate; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {predicate}"
        time.sleep(0.02)
    return answer


@overload
async def eventually_async(predicate: Callable[[], Awaitable[T]], timeout: float = 60) -> T: ...  # noqa: ASYNC109
@overload
async def eventually_async(predicate: Callable[[], T], timeout: float = 60) -> T: ...  # noqa: ASYNC109
async def eventually_async(predicate: Callable[[], Any], timeout: float = 60) -> Any:  # noqa: ASYNC109 - as above
    """Do the same in a running loop; the predicate may return an awaitable."""
    async with asyncio.timeout(timeout):
        while True:
            given = predicate()
            if answer := await given if isinstance(given, Awaitable) else given:
                return answer
            await asyncio.sleep(0.02)


def assert_takes_less(seconds: float, attempt: Callable[[], float]) -> None:
    """Check that something, whose seconds `attempt` returns, takes less; a busy machine gets up to three attempts."""
    took = [attempt()]
    while min(took) >= seconds and len(took) < 3:
        took.append(attempt())
    assert min(took) < seconds, took


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new loop of a new thread, as Playwright keeps the loop of this one running."""

    def run() -> T:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(coroutine)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()

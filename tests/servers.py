"""The real servers and processes that tests run against, and how tests wait for them."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import jwt

from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tasklog.serving.listener import listen, url_of
from tasklog.supervision.health_probe import HealthProbe
from tasklog.supervision.service import Service

T = TypeVar("T")

SECRET = "a secret of the tests, long enough for HS256"
_ROLE_PASSWORD = "password-of-the-tests"
_REDIS_DATABASES = 16


@dataclass(frozen=True, kw_only=True)
class Database:
    """A migrated database of its own for one test: its addresses as owner and as each service."""

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

        roles = {role: url(f"tasklog_{role}:{_ROLE_PASSWORD}@{host}") for role in ("writer", "projector", "reader")}
        return Database(name=name, owner=url(parts.netloc), **roles)

    def redis(self, number: int) -> str:
        database = number % _REDIS_DATABASES
        if self.redis_url.startswith("unix:"):
            return f"{self.redis_url}?db={database}"
        return urlunsplit(urlsplit(self.redis_url)._replace(path=f"/{database}"))

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each in a transaction of its own."""

        async def run() -> None:
            connection = await asyncpg.connect(self.postgres_url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        run_async(run())


@contextmanager
def started_servers(directory: Path) -> Iterator[Servers]:
    """The servers of TEST_DATABASE_URL and TEST_REDIS_URL, else embedded ones, without fsync: nothing outlives them."""
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
        if not redis_url:
            valkey = Valkey(data_dir, sockets)
            stack.callback(valkey.stop, timeout=2)
            valkey.start()
            redis_url = valkey.url
        yield Servers(postgres_url=postgres_url, redis_url=redis_url)


def token(user: str, **claims: Any) -> str:
    """A token of a user, good for an hour; further claims replace these."""
    now = int(time.time())
    return jwt.encode({"sub": user, "iat": now, "exp": now + 3600} | claims, SECRET, algorithm="HS256")


@dataclass(kw_only=True)
class RunningService:
    """Gateway and projector, as processes of their own, on a free port."""

    url: str
    database: Database
    gateway: Service
    projector: Service
    log: Path
    _clients: ExitStack = field(default_factory=ExitStack)

    def client(self, user: str | None = None) -> httpx.Client:
        """A client with a user's token, or with none; closed after the test."""
        headers = {} if user is None else {"Authorization": f"Bearer {token(user)}"}
        return self._clients.enter_context(httpx.Client(base_url=self.url, headers=headers, timeout=20))


@contextmanager
def running_service(database: Database, redis_url: str, log: Path, **env: str) -> Iterator[RunningService]:
    """Start gateway and projector on a database; yield when /health answers."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    settings = {"BETTER_AUTH_SECRET": SECRET, "REDIS_URL": redis_url, "DATABASE_POOLER": database.pooler}
    settings |= database.service_urls | env
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        listener = stack.enter_context(listen("127.0.0.1", 0))
        gateway = Service("gateway", env=inherited | settings, listener=listener, output=output)
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

    eventually(healthy, timeout=30)


def eventually(predicate: Callable[[], T], timeout: float = 10) -> T:
    """The first true answer of a predicate, asked until a deadline."""
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {predicate}"
        time.sleep(0.02)
    return answer


async def eventually_async(predicate: Callable[[], Awaitable[T] | T], timeout: float = 10) -> T:  # noqa: ASYNC109 - as above
    """The same in a running loop; what the predicate gives may have to be awaited."""
    async with asyncio.timeout(timeout):
        while True:
            given = predicate()
            if answer := await given if isinstance(given, Awaitable) else given:
                return answer
            await asyncio.sleep(0.02)


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own and leave the current loop of the thread as it is."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)

"""The running servers: one Postgres and one Valkey for all, and an API process for each contender."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx

from bench.wrk import SECRET
from tasklog.embedded import SERVICE_ROLES
from tasklog.embedded.child import end, spawn
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tasklog.serving.listener import listen

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

_START_SECONDS = 30
_SERVER = {
    "track_functions": "pl",
    "track_wal_io_timing": "on",
    # Checkpoints only between rounds: until then no WAL is removed, so it can be measured, and none is made anew.
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
    "min_wal_size": "2GB",
}
_WAL_FILES = 24
_WAL_FILE = "SELECT pg_logical_emit_message(true, '', repeat('x', 16 * 1024 * 1024))"


@dataclass(kw_only=True)
class Lab:
    """The servers, and the directory of all logs."""

    directory: Path
    postgres: Postgres
    redis_url: str
    numbers: int = 0
    processes: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def new_database(self, name: str) -> str:
        """Create an empty database; return its owner's URL."""
        await self.execute(f"CREATE DATABASE {name}")
        return self.postgres.url(database=name)

    async def execute(self, statement: str) -> Any:
        """Run a statement as the superuser, in no transaction; its first value, if it has one."""
        connection = await asyncpg.connect(self.postgres.url(database="postgres"))
        try:
            return await connection.fetchval(statement, timeout=600)
        finally:
            await connection.close()

    def run(self, name: str, command: Sequence[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a program; it is ended with the lab. It logs into the lab's directory."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        with (self.directory / f"{name}.log").open("ab") as log:
            process = spawn(command, env=inherited | env, output=log)
        self.processes.callback(end, process, signal.SIGTERM, 5)
        return process

    async def serve(self, name: str, command: Sequence[str], **env: str) -> tuple[str, subprocess.Popen[bytes]]:
        """Start an API process on a free port; return its address, once it answers, and the process."""
        port = free_port()
        process = self.run(name, [word.format(port=port) for word in command], API_PORT=str(port), **env)
        await _until_healthy(f"http://127.0.0.1:{port}", process, self.directory / f"{name}.log")
        return f"http://127.0.0.1:{port}", process

    def tasklog_env(self, database: str) -> dict[str, str]:
        """Return the settings of Tasklog's services on a database; each Tasklog has a Redis database of its own."""
        self.numbers += 1
        urls = {name: self.postgres.url(role, database) for name, role in SERVICE_ROLES.items()}
        return {**urls, "BETTER_AUTH_SECRET": SECRET, "REDIS_URL": f"{self.redis_url}?db={self.numbers}"}


def free_port() -> int:
    """Return a free port."""
    with listen("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        return port


async def _until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return at the first answer below 500."""
    deadline = time.monotonic() + _START_SECONDS
    async with httpx.AsyncClient(base_url=url) as client:
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The API did not start: {log.read_text()[-2000:]}")  # noqa: ASYNC240 - nothing else runs
            try:
                if (await client.get("/health", timeout=1)).status_code < 500:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)  # noqa: ASYNC251 - nothing else runs


@contextmanager
def _servers(directory: Path) -> Iterator[tuple[Postgres, Valkey]]:
    data_dir = open_data_dir(directory)
    sockets = socket_dir(data_dir)
    postgres, valkey = (
        Postgres(data_dir, sockets, _SERVER),
        Valkey(data_dir, sockets),
    )
    try:
        postgres.start()
        valkey.start()
        yield postgres, valkey
    finally:
        valkey.stop(5)
        postgres.stop(20)


@contextmanager
def servers(directory: Path) -> Iterator[Lab]:
    """Start the servers as `./run` does, durable and with the same settings. Call it outside of any event loop."""
    with _servers(directory) as (postgres, valkey):
        yield Lab(directory=directory, postgres=postgres, redis_url=valkey.url)


@asynccontextmanager
async def running(lab: Lab) -> AsyncIterator[Lab]:
    """Fill WAL files, which Postgres then uses again; at the end, end the processes that were started in the lab.

    To make a new file of 16 MB holds up every commit for 60 to 150 ms, so it would decide the p99 of short rounds. A
    server that has run for a while makes none.
    """
    async with lab.processes:
        for _ in range(_WAL_FILES):
            await lab.execute(_WAL_FILE)
        await lab.execute("CHECKPOINT")
        yield lab

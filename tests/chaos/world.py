"""A world: Postgres (durable), Valkey, gateways and projectors as real processes, with proxies between them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

import asyncpg

from runtime.settings import SettingsError
from tasklog.embedded import SERVICE_ROLES
from tasklog.embedded.cluster import plain_environment
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tasklog.serving.listener import listen
from tasklog.supervision.service import Service
from tests.chaos.background import Background
from tests.chaos.checker import Violation
from tests.chaos.ledger import Stored, read_stored
from tests.chaos.load import Load
from tests.chaos.memory import Memory
from tests.chaos.options import Options
from tests.chaos.planted import planted_service
from tests.chaos.proxy import Proxy
from tests.servers import SECRET

START_SECONDS = 60
_BY_INDEX = {"enable_seqscan": "off"}
"""So that the world's own statements are not counted among the services' scans."""
HEALTHY_SECONDS = 5.0
"""How soon after a fault the services must answer again by themselves, in seconds."""
_POSTGRES_STOP_SECONDS = 30
"""How long a stop of Postgres may take, in seconds: it writes everything to a disk that others use too."""


class UnhealthyError(Exception):
    """It did not become healthy by itself in time."""


class World:
    """The processes of one scenario. The main thread does everything except clients and proxies."""

    def __init__(self, directory: Path, template: Path, background: Background, options: Options, seed: int) -> None:
        self.directory = open_data_dir(directory)
        self.background = background
        self.options = options
        self.faults = 0
        self.patience = 1.0
        self.forgiven_until = 0.0
        self.memory = Memory()
        self.ends: list[str] = []
        self.notes: list[str] = []
        self.complaints: list[Violation] = []
        self.parked: frozenset[str] = frozenset()
        self.unread: frozenset[str] = frozenset()
        self.resting: set[Service | Postgres] = set()
        self.gateways: list[Service] = []
        self.projectors: list[Service] = []
        sockets = socket_dir(self.directory)
        self.postgres = Postgres(self.directory, sockets, options.postgres)
        self.valkey = Valkey(self.directory, sockets)
        self.gateway_proxy = Proxy(str(sockets / ".s.PGSQL.5432"))
        self.projector_proxy = Proxy(str(sockets / ".s.PGSQL.5432"))
        self.redis_proxy = Proxy(str(sockets / "valkey.sock"), postgres=False)
        self.log = self.directory / "services.log"
        self._template = template
        self._seed = seed
        self._stack = ExitStack()

    def open(self) -> None:
        """Start everything, and the clients."""
        if self.options.disk_mb:
            disk = self.directory / "postgres"
            disk.mkdir(mode=0o700)
            self.mount_disk(disk, self.options.disk_mb)
        shutil.copytree(self._template, self.directory / "postgres", dirs_exist_ok=True)
        self._stack.callback(self.postgres.stop, timeout=_POSTGRES_STOP_SECONDS)
        self.start_postgres()
        self._stack.callback(self.valkey.stop, timeout=2)
        self.valkey.start()
        for proxy in (self.gateway_proxy, self.projector_proxy, self.redis_proxy):
            self.background.run(proxy.open())
            self._stack.callback(self._end, proxy)
        self._start_services()
        self.wait_until_healthy(START_SECONDS)
        self.observe(idle=True)
        self._start_clients()

    def _start_services(self) -> None:
        output = self.open_log()
        listeners = [self._stack.enter_context(listen("127.0.0.1", 0)) for _ in range(self.options.gateways)]
        self.load = Load(
            [listener.getsockname()[1] for listener in listeners],
            seed=self._seed,
            users=self.options.users,
            clients=self.options.clients,
            roams=self.options.roams,
        )
        environment, planted = self._environment(), self.options.planted
        make = Service if planted is None else partial(planted_service, planted)

        def made(name: str, listener: socket.socket | None = None) -> Service:
            return make(name, env=environment | self._of_one_service(), inherited=listener, output=output)

        self.gateways = [made("gateway", listener) for listener in listeners]
        self.projectors = [made("projector") for _ in range(self.options.projectors)]
        for service in self.services:
            self._stack.callback(service.stop, timeout=5)
            service.start()

    def _start_clients(self) -> None:
        self.background.run(self.load.start())

    def open_log(self) -> IO[bytes]:
        """Return the open file that the services write their logs to."""
        return self._stack.enter_context(self.log.open("ab"))

    def _environment(self) -> dict[str, str]:
        proxies = [self.gateway_proxy, self.projector_proxy, self.gateway_proxy]
        urls = {
            name: self.postgres.url(role)
            if self.options.direct
            else f"postgresql://{role}@127.0.0.1:{proxy.port}/tasklog?sslmode=disable"
            for (name, role), proxy in zip(SERVICE_ROLES.items(), proxies, strict=True)
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        redis = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
        own = {"DATA_DIR": str(self.directory), "BETTER_AUTH_SECRET": SECRET, "REDIS_URL": redis}
        return inherited | own | urls | self._clock() | dict(self.options.env)

    def _of_one_service(self) -> dict[str, str]:
        """Return what one service has in its environment beside what all have."""
        return {}

    def _clock(self) -> dict[str, str]:
        if self.options.clock is None:
            return {}
        file = self.directory / "clock"
        file.write_text("+0")
        how = {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {"LD_PRELOAD": str(self.options.clock), **how}

    def mount_disk(self, directory: Path, megabytes: int) -> None:
        """Mount a small disk at a directory."""
        size = f"size={megabytes}m,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", directory], check=True, capture_output=True)
        self._stack.callback(lambda: subprocess.run(["umount", "-l", directory], check=True))

    @property
    def services(self) -> list[Service]:
        return [*self.gateways, *self.projectors]

    @property
    def url(self) -> str:
        """The superuser's address, past the proxies."""
        return self.postgres.url()

    @property
    def urls(self) -> list[str]:
        """The superuser's addresses of all ledgers."""
        return [self.url]

    def stored(self) -> Stored:
        """Return what is stored."""
        return asyncio.run(read_stored(self.url, self.parked, self.unread))

    def start_postgres(self) -> None:
        """Start Postgres, and retry while processes of a killed one still prevent it."""
        environment = plain_environment() | self._clock()
        deadline = time.monotonic() + START_SECONDS
        with patch("tasklog.embedded.postgres.plain_environment", lambda: environment):
            while True:
                try:
                    self.postgres.start()
                except SettingsError:
                    if time.monotonic() > deadline:
                        raise
                else:
                    return
                time.sleep(0.05)

    def kill(self, part: Service | Postgres | Valkey) -> bool:
        """Kill -9, and restart at once; return False if it had already ended."""
        assert part.process is not None
        self.observe()
        was_running = part.process.poll() is None
        part.process.kill()
        part.process.wait(10)
        self.start(part)
        return was_running

    def start(self, part: Service | Postgres | Valkey) -> None:
        if isinstance(part, Postgres):
            self.start_postgres()
        else:
            part.start()

    def pause(self, seconds: float) -> None:
        """Wait some seconds, and restart whatever ends, as a supervisor does."""
        end = time.monotonic() + seconds
        while True:
            self._revive()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def _revive(self) -> None:
        self.observe()
        parts: list[Service | Postgres | Valkey] = [self.postgres, self.valkey, *self.services]
        for part in parts:
            if part.process is not None and part.process.poll() is not None and part not in self.resting:
                self.ends.append(f"{part.name} ended with {part.process.returncode}")
                self.start(part)

    def observe(self, *, idle: bool = False) -> None:
        """Record how much memory the services have."""
        self.memory.look(self.services, idle=idle)

    def execute(self, statement: str, *args: object) -> list[Any]:
        """Run a statement as the superuser, and return its rows."""
        return list(self._as_superuser(lambda connection: connection.fetch(statement, *args)))

    def execute_script(self, statements: str) -> None:
        """Run many statements as the superuser."""
        self._as_superuser(lambda connection: connection.execute(statements))

    def _as_superuser(self, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            connection = await asyncpg.connect(self.url, timeout=30, server_settings=_BY_INDEX)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def complain(self, rule: str, detail: str) -> None:
        """Record a broken promise."""
        self.complaints.append(Violation(rule, "all", detail))

    def wait_until_healthy(self, seconds: float) -> float:
        """Return the seconds until every gateway carries out a write and shows it.

        Raises:
            UnhealthyError: it takes longer than `seconds`.
        """
        began = time.monotonic()
        while not self.background.run(self.load.is_healthy(1.5)):
            self.pause(0.02)
            if time.monotonic() - began > seconds:
                raise UnhealthyError(f"not healthy within {seconds} s")
        return time.monotonic() - began

    def _end(self, proxy: Proxy) -> None:
        self.background.run(proxy.end())

    def close(self) -> None:
        """End everything that this world started."""
        for service in self.services:
            if service.process is not None and service.process.poll() is None:
                service.process.send_signal(signal.SIGCONT)
        self._stack.close()

"""The embedded Postgres: a child process, durable, reachable only through a private unix socket."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg

from runtime.schema import INSTALLED
from runtime.settings import SettingsError
from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.child import end, spawn
from tasklog.embedded.cluster import clear_socket, hold, make_cluster, plain_environment, retire_old_server, version_of
from tasklog.embedded.data_dir import check_name, name_of
from tasklog.embedded.identity import choose_identity
from tasklog.embedded.switch import CLUSTER, finish_switch

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import IO, Any

_PORT = 5432  # part of the name of the socket's file; there is no TCP
_START_SECONDS = 60
_LARGEST_LOG = 8 * 2**20
_STARTING = "the database system is starting up"
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_NOT_READY = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)


class Postgres:
    """One Postgres server of one DATA_DIR, with the superuser `postgres` and the database `tasklog`."""

    name = "Postgres"

    def __init__(
        self,
        data_dir: Path,
        sockets: Path,
        options: Mapping[str, str] | None = None,
        *,
        cluster: str = CLUSTER,
        port: int = _PORT,
    ) -> None:
        """Describe the server; `start` starts it. `options` are further settings of postgresql.conf."""
        self._data_dir = data_dir
        self._cluster = data_dir / cluster
        self._sockets = sockets
        self._port = port
        self._options = {**_OPTIONS, "port": str(port), "unix_socket_directories": str(sockets), **(options or {})}
        self._name: bytes | None = None
        """The directory's identity at the first start."""
        self._held: int | None = None
        """The file descriptor of the cluster's lock."""
        self._log_begin = 0
        """Where the last start begins in the log, in bytes."""
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, user: str = "postgres", database: str = "tasklog") -> str:
        """Return the address of a database for a user."""
        return f"postgresql://{user}@/{database}?host={self._sockets}&port={self._port}"

    def start(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Start the server, creating its directory if needed, and return when it accepts connections."""
        self._name = self._name or name_of(self._data_dir)
        check_name(self._data_dir, self._name)
        finish_switch(self._data_dir)
        programs, version = find_postgres(version_of(self._cluster))
        run_as, owner, programs = choose_identity(programs, self._data_dir, self._sockets)
        if not self._cluster.exists():
            make_cluster(self._cluster, programs, version, run_as, owner)
        self._let_go()
        self._held = hold(self._cluster)
        retire_old_server(self._cluster, pause)
        clear_socket(self._sockets / f".s.PGSQL.{self._port}")
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        with self._open_log() as log:
            self._log_begin = log.tell()
            self.process = spawn(
                [programs / "postgres", "-D", self._cluster, *options],
                run_as=run_as,
                # SIGQUIT ends all its processes at once, so that a start right after a kill works; recovery follows.
                death_signal=signal.SIGQUIT,
                env=plain_environment(),
                output=log,
            )
        self.wait_until_ready(pause)

    def wait_until_ready(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Return when the database `tasklog` accepts connections, after recovery from a crash if needed."""
        deadline = time.monotonic() + _START_SECONDS
        while not asyncio.run(self._has_database()):
            if time.monotonic() > deadline or (self.process is not None and self.process.poll() is not None):
                raise SettingsError(f"Postgres did not start: {self._last_error()} (in {self._log_path}).")
            pause(0.02)

    def schema_version(self) -> str | None:
        """Return what is installed in the database `tasklog`, or None before the first migration."""
        version: str | None = asyncio.run(self._fetch_value(INSTALLED, "tasklog"))
        return version

    def newer_version(self) -> int | None:
        """Return the major version that a new directory would get, if it is newer than this one's."""
        _, newest = find_postgres(None)
        return newest if newest > (version_of(self._cluster) or newest) else None

    def stop(self, timeout: float) -> None:
        """Shut down without waiting for clients; after `timeout` seconds, shut down immediately."""
        if self.process is not None:
            end(self.process, signal.SIGINT, timeout, signal.SIGQUIT)
            self.process = None
        self._let_go()

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    async def _has_database(self) -> bool:
        try:
            self._check_is_ours(await self._fetch_value("SHOW data_directory", "postgres"))
            if not await self._fetch_value("SELECT count(*) FROM pg_database WHERE datname = 'tasklog'", "postgres"):
                await self._fetch_value("CREATE DATABASE tasklog", "postgres")
        except _NOT_READY:
            return False
        except asyncpg.InvalidAuthorizationSpecificationError:  # a wrong password is a subclass
            raise SettingsError(
                f"Another server answers in {self._sockets}: stop it, or set another DATA_DIR."
            ) from None
        return True

    def _check_is_ours(self, directory: str) -> None:
        """Refuse a server that works in another directory.

        Raises:
            SettingsError: it does.
        """
        with suppress(OSError):
            if self._cluster.samefile(directory):
                return
        raise SettingsError(
            f"The Postgres that answers in {self._sockets} works in {directory}, not in {self._cluster}: "
            "stop it, or set another DATA_DIR."
        )

    async def _fetch_value(self, statement: str, database: str) -> Any:
        connection = await asyncpg.connect(
            host=str(self._sockets), port=self._port, user="postgres", database=database, timeout=10
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    @property
    def _log_path(self) -> Path:
        return self._data_dir / f"{self._cluster.name}.log"

    def _open_log(self) -> IO[bytes]:
        """Open the log to append; a large log is renamed to .log.old first."""
        if self._log_path.exists() and self._log_path.stat().st_size > _LARGEST_LOG:
            self._log_path.replace(self._log_path.with_suffix(".log.old"))
        return self._log_path.open("ab")

    def _last_error(self) -> str:
        """Return why the last start failed: the last error of its log, not counting refusals while it starts."""
        lines = self._log_path.read_bytes()[self._log_begin :].decode(errors="replace").splitlines()
        errors = (line for line in reversed(lines) if ("FATAL" in line or "PANIC" in line) and _STARTING not in line)
        return next(errors, f"it gave no reason and did not answer within {_START_SECONDS} s")

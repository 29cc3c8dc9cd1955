"""`./run serve`: starts the missing servers, prepares the database, and keeps gateways and projectors running.

The children run in their own sessions. This process starts and ends them in order, and sleeps otherwise.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from runtime.schema import is_current
from runtime.settings import SHORTEST_SECRET, SettingsError
from tasklog.embedded import service_urls
from tasklog.embedded.data_dir import lock_holder, locked, make_secret, open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tasklog.serving.listener import listen
from tasklog.supervision.crew import Crew
from tasklog.supervision.greeting import greeting
from tasklog.supervision.health_probe import HealthProbe
from tasklog.supervision.service import START_ERROR, Service
from tasklog.supervision.signals import Signals, StopRequested
from tasklog.supervision.telling import tell
from tasklog.supervision.workers import TakePort, open_ports, workers_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.settings import Settings

_START_SECONDS = 60
_PROJECTOR_SECONDS = 10
_CONNECTIONS = 100
_CONNECTIONS_OF_A_WORKER = 8


def serve(settings: Settings) -> None:
    """Run everything until SIGINT or SIGTERM, or until the terminal is closed; SIGHUP replaces the workers.

    Raises:
        SettingsError: it cannot start with these settings.
        SystemExit: a child cannot start, and has said why.
    """
    signals = Signals()
    with (
        suppress(StopRequested),
        _own_data_dir(settings) as data_dir,  # first: a second start must fail here, not at the port
        listen(settings.api_host, settings.api_port) as listener,
        open_ports(settings) as take_port,
        closing(Supervisor(settings, signals)) as supervisor,
    ):
        secret = settings.better_auth_secret
        if secret is not None and len(secret.get_secret_value().encode()) < SHORTEST_SECRET and settings.embedded:
            tell(f"Warning: BETTER_AUTH_SECRET is shorter than {SHORTEST_SECRET} bytes, for trials only.", err=True)
        env = supervisor.start_servers(data_dir)
        supervisor.prepare_database(env)
        supervisor.run_services(env, listener, take_port)
        tell(greeting(settings, listener))
        supervisor.keep_running()


class Supervisor(Crew):
    """The crew of `./run`: its servers, gateways and projectors."""

    refused_code = 1

    def __init__(self, settings: Settings, signals: Signals) -> None:
        """Prepare, without starting anything."""
        super().__init__(signals)
        self._settings = settings

    def start_servers(self, data_dir: Path | None) -> dict[str, str]:
        """Start the servers that no URL is set for; return the environment of the services."""
        env = dict(os.environ)
        if data_dir is None:
            return env
        sockets = socket_dir(data_dir)
        if self._settings.embedded:
            env = {name: value for name, value in env.items() if not name.startswith("PG")}
            if self._settings.better_auth_secret is None and self._settings.jwks_url is None:
                env["BETTER_AUTH_SECRET"] = make_secret(data_dir)
            postgres = Postgres(data_dir, sockets, {"max_connections": str(self._most_connections())})
            self.start(postgres)
            if newer := postgres.newer_version():
                tell(f"The data are of an older Postgres than {newer}: stop this, and ./run upgrade moves them to it.")
            env |= service_urls(postgres)
            if not is_current(postgres.schema_version()):
                env["EMBEDDED_OWNER_URL"] = postgres.url()
        if self._settings.redis_url is None:
            valkey = Valkey(data_dir, sockets)
            self.start(valkey)
            env["REDIS_URL"] = valkey.url
        return env

    def _most_connections(self) -> int:
        """Return the connections that Postgres has for all workers, and for commands of operators."""
        further = (self._settings.api_workers or 1) + (self._settings.projector_workers or 1) - 2
        return _CONNECTIONS + _CONNECTIONS_OF_A_WORKER * further

    def prepare_database(self, env: dict[str, str]) -> None:
        """Check a given database's settings and migrate it, in a short-lived child so that this process stays small."""
        if self._settings.embedded and "EMBEDDED_OWNER_URL" not in env:
            return
        preparation = Service("prepare", env=env)
        self.start(preparation)
        keeper = self._keepers[-1]
        while (code := keeper.exit_code()) is None:
            self._signals.wait()
        self._keepers.remove(keeper)
        if code != 0:
            raise SystemExit(1)
        env.pop("EMBEDDED_OWNER_URL", None)  # services use only their own roles

    def run_services(self, env: dict[str, str], listener: socket.socket, take_port: TakePort) -> None:
        """Start the gateways and projectors, and return when they are ready.

        The first gateway starts alone, so that only one says what is wrong. Projectors have `_PROJECTOR_SECONDS`,
        because the API works without them.
        """
        first, *further = workers_of("gateway", self._settings.api_workers or 1, env, take_port, listener)
        projectors = workers_of("projector", self._settings.projector_workers or 1, env, take_port)
        for worker in (first, *projectors):
            self.start(worker)
        self._wait_for_health(HealthProbe(listener))
        for worker in further:
            self.start(worker)
        self.wait_until_ready(further)
        self.wait_until_ready(projectors, _PROJECTOR_SECONDS)

    def _wait_for_health(self, probe: HealthProbe) -> None:
        """Return at the first good answer of /health.

        Raises:
            SystemExit: a service cannot start with these settings.
            SettingsError: it takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        with closing(probe):
            while not (self._signals.wait(self._until_restart(deadline), probe.waits_on()) and probe.succeeded()):
                if any(keeper.exit_code() == START_ERROR for keeper in self._keepers):
                    raise SystemExit(1)
                if time.monotonic() > deadline:
                    message = f"Tasklog did not answer within {_START_SECONDS} s: see the messages above."
                    raise SettingsError(message)
                self._look()


@contextmanager
def _own_data_dir(settings: Settings) -> Iterator[Path | None]:
    """Yield DATA_DIR, locked, or None if this process runs no embedded server."""
    if not settings.embedded and settings.redis_url is not None:
        yield None
        return
    data_dir = open_data_dir(settings.data_dir)
    with locked(data_dir) as ours:
        if not ours:
            holder = lock_holder(data_dir)
            raise SettingsError(
                f"Tasklog already runs on {settings.data_dir} (process {holder}): stop it, or set another DATA_DIR."
            )
        yield data_dir

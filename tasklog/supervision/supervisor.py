"""`./run serve`: starts the missing servers, prepares the database, and keeps gateway and projector running.

The children run in their own sessions. This process starts and ends them in order, and sleeps otherwise.
"""

from __future__ import annotations

import os
import socket
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
from tasklog.supervision.greeting import greeting
from tasklog.supervision.health_probe import HealthProbe
from tasklog.supervision.keeper import Keeper
from tasklog.supervision.service import START_ERROR, Service
from tasklog.supervision.signals import Signals, StopRequested
from tasklog.supervision.telling import tell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runtime.settings import Settings
    from tasklog.supervision.keeper import Part

_START_SECONDS = 60
_PROJECTOR_SECONDS = 10
_STOP_SECONDS = 4.6
_SERVICES_STOP_SECONDS = 3.3


def serve(settings: Settings) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP.

    Raises:
        SettingsError: it cannot start with these settings.
        SystemExit: a child cannot start, and has said why.
    """
    signals = Signals()
    with (
        suppress(StopRequested),
        _own_data_dir(settings) as data_dir,  # first: a second start must fail here, not at the port
        listen(settings.api_host, settings.api_port) as listener,
        closing(Supervisor(settings, signals)) as supervisor,
    ):
        secret = settings.better_auth_secret
        if secret is not None and len(secret.get_secret_value().encode()) < SHORTEST_SECRET and settings.embedded:
            tell(f"Warning: BETTER_AUTH_SECRET is shorter than {SHORTEST_SECRET} bytes, for trials only.", err=True)
        env = supervisor.start_servers(data_dir)
        supervisor.prepare_database(env)
        supervisor.start_services(env, listener)
        supervisor.wait_for_health(HealthProbe(listener))
        supervisor.wait_for_projector()
        tell(greeting(settings, listener))
        supervisor.keep_running()


class Supervisor:
    """The child processes, in the order of their start."""

    def __init__(self, settings: Settings, signals: Signals) -> None:
        """Prepare, without starting anything."""
        self._settings = settings
        self._signals = signals
        self._keepers: list[Keeper] = []
        self._ready, self._projector_ready = socket.socketpair()
        self._projector_ready.setblocking(False)  # noqa: FBT003 - socket's signature

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
            postgres = Postgres(data_dir, sockets)
            self._start(postgres)
            env |= service_urls(postgres)
            if not is_current(postgres.schema_version()):
                env["EMBEDDED_OWNER_URL"] = postgres.url()
        if self._settings.redis_url is None:
            valkey = Valkey(data_dir, sockets)
            self._start(valkey)
            env["REDIS_URL"] = valkey.url
        return env

    def prepare_database(self, env: dict[str, str]) -> None:
        """Check a given database's settings and migrate it, in a short-lived child so that this process stays small."""
        if self._settings.embedded and "EMBEDDED_OWNER_URL" not in env:
            return
        preparation = Service("prepare", env=env)
        self._start(preparation)
        keeper = self._keepers[-1]
        while (code := keeper.exit_code()) is None:
            self._signals.wait()
        self._keepers.remove(keeper)
        if code != 0:
            raise SystemExit(1)
        env.pop("EMBEDDED_OWNER_URL", None)  # services use only their own roles

    def start_services(self, env: dict[str, str], listener: socket.socket) -> None:
        """Start the gateway and the projector."""
        self._start(Service("gateway", env=env | self._admin_port(0), inherited=listener))
        self._start(Service("projector", env=env | self._admin_port(1), inherited=self._projector_ready))

    def _admin_port(self, number: int) -> dict[str, str]:
        """Return ADMIN_PORT for a service: service 0 gets the one of the settings, service 1 the next; 0 stays 0."""
        port = self._settings.admin_port
        return {} if port is None else {"ADMIN_PORT": str(port and port + number)}

    def wait_for_health(self, probe: HealthProbe) -> None:
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

    def wait_for_projector(self) -> None:
        """Return when the projector is ready, or after `_PROJECTOR_SECONDS`, because the API works without it."""
        deadline = time.monotonic() + _PROJECTOR_SECONDS
        while not self._signals.wait(self._until_restart(deadline), self._ready) and time.monotonic() < deadline:
            if any(keeper.exit_code() == START_ERROR for keeper in self._keepers):
                raise SystemExit(1)
            self._look()

    def keep_running(self) -> None:
        """Restart whatever ends, until this process is told to stop."""
        while True:
            self._look()
            self._signals.wait(self._until_restart())

    def close(self) -> None:
        """End the services together, then the servers in reverse order of their start; all within 5 s."""
        began = time.monotonic()
        services = [keeper.part for keeper in self._keepers if isinstance(keeper.part, Service)]
        for service in services:
            service.ask_to_stop()
        for service in services:
            service.stop(began + _SERVICES_STOP_SECONDS - time.monotonic())
        for keeper in reversed(self._keepers):
            keeper.part.stop(began + _STOP_SECONDS - time.monotonic())

    def _start(self, part: Part) -> None:
        keeper = Keeper(part)
        self._keepers.append(keeper)  # before the start, so that a stop during the start ends it
        keeper.start(self._signals.wait)

    def _look(self) -> None:
        for keeper in self._keepers:
            keeper.look(self._signals.wait)

    def _until_restart(self, *further: float) -> float | None:
        """Return the seconds until the next planned restart or `further` time, or None if there is none."""
        times = [*further, *(keeper.restart_at for keeper in self._keepers if keeper.restart_at is not None)]
        return max(0.0, min(times) - time.monotonic()) if times else None


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

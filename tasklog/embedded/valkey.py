"""The embedded Valkey: on a unix socket, in memory only, because nothing in it is needed after a restart."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime.settings import SettingsError
from tasklog.embedded.binaries import find_valkey
from tasklog.embedded.child import end, spawn
from tasklog.embedded.data_dir import check_name, name_of
from tasklog.embedded.listening import is_listened_at

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

_START_SECONDS = 10
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "64mb",
    "maxmemory-policy": "noeviction",
    "hz": "1",
    "daemonize": "no",
    "loglevel": "warning",
}


class Valkey:
    """One Valkey server of one DATA_DIR."""

    name = "Valkey"

    def __init__(self, data_dir: Path, sockets: Path) -> None:
        """Describe the server; `start` starts it."""
        self._data_dir = data_dir
        self._socket = sockets / "valkey.sock"
        self._name: bytes | None = None
        """The directory's identity at the first start."""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the address for clients, on database 0."""
        return f"unix://{self._socket}"

    def start(self, pause: Callable[[float], object] = time.sleep) -> None:
        """Start the server and return when it answers; the socket of a killed one is replaced."""
        self._name = self._name or name_of(self._data_dir)
        check_name(self._data_dir, self._name)
        self._retire_old_server(pause)
        self._socket.unlink(missing_ok=True)
        settings = {**_SETTINGS, "unixsocket": str(self._socket), "dir": str(self._data_dir)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self._data_dir / "valkey.log").open("wb") as log:
            self.process = spawn([find_valkey(), *options], output=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SettingsError(f"Valkey did not start: see {self._data_dir / 'valkey.log'}.")
            pause(0.01)

    def stop(self, timeout: float) -> None:
        """End the server within `timeout` seconds."""
        if self.process is not None:
            end(self.process, signal.SIGTERM, timeout)
            self.process = None

    def answers(self) -> bool:
        """Return whether a server answers on the socket, and works in this DATA_DIR."""
        _, _, said = self._ask(b"CONFIG GET dir").partition(b"\r\ndir\r\n$")
        length, _, directory = said.partition(b"\r\n")
        with suppress(OSError, ValueError):
            return self._data_dir.samefile(os.fsdecode(directory[: int(length)]))
        return False

    def _retire_old_server(self, pause: Callable[[float], object]) -> None:
        """End a server of this DATA_DIR that outlived its parent.

        Raises:
            SettingsError: the server on the socket is another's, or does not end.
        """
        deadline = time.monotonic() + _START_SECONDS
        while is_listened_at(self._socket):
            if not self.answers() or time.monotonic() > deadline:
                if not is_listened_at(self._socket):  # it has just ended
                    return
                raise SettingsError(f"Another server answers at {self._socket}: stop it, or set another DATA_DIR.")
            self._ask(b"SHUTDOWN NOSAVE")
            pause(0.05)

    def _ask(self, command: bytes) -> bytes:
        """Return what a server on the socket answers, or nothing if there is no server."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self._socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(8192)
        return b""

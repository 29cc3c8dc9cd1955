"""A process of an API or a projector as one of several workers, which a new one can replace while it works."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING

from tasklog.supervision.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

_DRAINING = {"projector": signal.SIGTERM}
"""What makes a worker finish and end. An API process first answers what comes over its open connections."""


class Worker(Service):
    """One worker. Its sockets belong to its supervisor, so they stay open when it ends.

    All workers of an API accept connections from the same listening socket.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        command: str,
        *,
        env: Mapping[str, str],
        number: int | None = None,
        inherited: socket.socket | None = None,
        admin: socket.socket | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        """Describe a worker; it has a `number` if there are several, which its log lines show."""
        super().__init__(command, env=env, inherited=inherited, output=output)
        self.name += "" if number is None else f" {number}"
        self.ready: socket.socket | None = None
        """Readable once the worker is ready, or has ended."""
        self._number = number
        self._admin = admin

    def start(self, _pause: Callable[[float], object] | None = None) -> None:
        """Start it and return at once."""
        self._forget_ready()
        self.ready, told = socket.socketpair()
        with told:
            options = [] if self._number is None else [f"--worker={self._number}"]
            self.spawn({"fd": self._inherited, "admin-fd": self._admin, "ready-fd": told}, options)

    def tell_ready(self) -> bool:
        """Return whether the worker said that it is ready; call it when `ready` is readable."""
        if self.ready is not None and self.ready.recv(1) == b".":
            return True
        self._forget_ready()  # it has ended
        return False

    def drain(self) -> None:
        """Let it finish what it has, and end."""
        if self.process is not None:
            self.process.send_signal(_DRAINING.get(self._command[0], signal.SIGUSR1))

    def successor(self) -> Worker:
        """Return a worker to replace this one, on the same sockets."""
        new = copy(self)
        new.process = new.ready = None
        return new

    def stop(self, timeout: float) -> None:
        """End it within `timeout` seconds."""
        super().stop(timeout)
        self._forget_ready()

    def _forget_ready(self) -> None:
        if self.ready is not None:
            with suppress(OSError):
                self.ready.close()
            self.ready = None

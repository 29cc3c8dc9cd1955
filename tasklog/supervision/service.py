"""A command of Tasklog as a child process: the gateway, the projector, or the preparation of the database."""

from __future__ import annotations

import signal
import sys
from typing import IO, TYPE_CHECKING

from tasklog.embedded.child import end, spawn

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

START_ERROR = 78
"""The exit code (EX_CONFIG) of a command that cannot start with these settings, after it said why in one sentence."""


class Service:
    """One command, with its environment, and the socket that it inherits as --fd."""

    def __init__(
        self,
        *command: str,
        env: Mapping[str, str],
        inherited: socket.socket | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        """Describe the command; `start` starts it. Without `output` it writes to this process's stdout and stderr."""
        self.name = f"The {command[0]}"
        self._command = list(command)
        self._env = dict(env)
        self._inherited = inherited
        self._program = "tasklog"
        self._output = output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, _pause: Callable[[float], object] | None = None) -> None:
        """Start the command and return at once."""
        self.spawn({"fd": self._inherited})

    def spawn(self, sockets: Mapping[str, socket.socket | None], options: Sequence[str] = ()) -> None:
        """Start the process with the sockets that it inherits, by the names of their options."""
        inherited = {name: found.fileno() for name, found in sockets.items() if found is not None}
        passed = [f"--{name}={number}" for name, number in inherited.items()]
        self.process = spawn(
            [sys.executable, "-m", *self._program.split(), *self._command, *passed, *options],
            env=self._env,
            output=self._output,
            pass_fds=[*inherited.values()],
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM without waiting."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout: float) -> None:
        """End the process within `timeout` seconds."""
        if self.process is not None:
            end(self.process, signal.SIGTERM, timeout)
            self.process = None

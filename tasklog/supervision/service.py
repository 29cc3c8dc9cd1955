"""A command of Tasklog as a child process: the gateway, the projector, the preparation of the database."""

from __future__ import annotations

import signal
import sys
from typing import IO, TYPE_CHECKING

from tasklog.embedded.child import end, spawn

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable, Mapping

START_ERROR = 78
"""Exit code of a command that cannot start as it is set up; it has said why in one sentence. (EX_CONFIG)"""


class Service:
    """One command, with its environment, and the socket that it inherits as --fd."""

    def __init__(
        self,
        *command: str,
        env: Mapping[str, str],
        inherited: socket.socket | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        """Describe it; `start` starts it. Without `output` it writes to where this process writes."""
        self.name = f"The {command[0]}"
        self._command = list(command)
        self._env = dict(env)
        self._inherited = inherited
        self._output = output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, _pause: Callable[[float], object] | None = None) -> None:
        """Start it and return at once."""
        inherited = [] if self._inherited is None else [self._inherited.fileno()]
        option = [f"--fd={number}" for number in inherited]
        self.process = spawn(
            [sys.executable, "-m", "tasklog", *self._command, *option],
            env=self._env,
            output=self._output,
            pass_fds=inherited,
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout: float) -> None:
        """End it within `timeout` seconds."""
        if self.process is not None:
            end(self.process, signal.SIGTERM, timeout)
            self.process = None

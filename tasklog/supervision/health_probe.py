"""Asks /health once, and gets the answer without polling."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress
from typing import Final

_SECONDS: Final = 10


class HealthProbe:
    """One open request. The listening socket queues it until a gateway accepts it, so no polling is needed."""

    def __init__(self, listener: socket.socket) -> None:
        """Prepare to ask the gateway behind a listening socket of this machine."""
        host, port = listener.getsockname()[:2]
        self._address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - compared, not bound
        self._connection: http.client.HTTPConnection | None = None

    def waits_on(self) -> socket.socket:
        """Send the request if needed, and return the socket that becomes readable with the answer."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=_SECONDS)
            self._connection.request("GET", "/health")
        return self._connection.sock

    def succeeded(self) -> bool:
        """Read the answer. After a bad one, or a broken connection, `waits_on` asks again."""
        with suppress(OSError, http.client.HTTPException):
            if self._connection is not None and self._connection.getresponse().status == http.HTTPStatus.OK:
                self._wait_for_log_line()
                return True
        self.close()
        return False

    def _wait_for_log_line(self) -> None:
        """Wait until the gateway has logged this request.

        It writes the line at the end of the loop's turn that sent the answer. Closing a second connection takes it a
        later turn.
        """
        with socket.create_connection(self._address, _SECONDS) as second:
            second.shutdown(socket.SHUT_WR)
            second.recv(1)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

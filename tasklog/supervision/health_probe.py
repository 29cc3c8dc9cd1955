"""Asks /health once, and gets the answer without polling."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress


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
            self._connection = http.client.HTTPConnection(*self._address, timeout=10)
            self._connection.request("GET", "/health")
        return self._connection.sock

    def succeeded(self) -> bool:
        """Read the answer. After a bad one, or a broken connection, `waits_on` asks again."""
        with suppress(OSError, http.client.HTTPException):
            if self._connection is not None and self._connection.getresponse().status == http.HTTPStatus.OK:
                return True
        self.close()
        return False

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

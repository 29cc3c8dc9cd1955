"""The listening socket of an API process."""

from __future__ import annotations

import socket

from runtime.settings import SettingsError

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes any that is free.

    Raises:
        SettingsError: the address is in use, or not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        message = (
            f"Tasklog cannot listen on {host} port {port} ({error.strerror}): set API_HOST and API_PORT to a free one."
        )
        raise SettingsError(message) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address to type into a browser of this machine."""
    host, port = listener.getsockname()[:2]
    shown = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104 - compared
    return f"http://{shown}:{port}"

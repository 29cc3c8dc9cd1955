"""The listening socket of an API process."""

from __future__ import annotations

import errno
import socket

from runtime.settings import SettingsError

_BACKLOG = 2048
_ADVICE = {
    errno.EADDRINUSE: "set {}_PORT to a free one",
    errno.EACCES: "set {}_PORT to one from 1024 up, which needs no rights",
}


def listen(host: str, port: int, named: str = "API") -> socket.socket:
    """Listen on an address; port 0 takes any free port. `named` says which settings it is from, API or ADMIN.

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
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        advice = _ADVICE.get(number or 0, "set {}_HOST to an address of this machine, such as 127.0.0.1")
        reason = error.strerror if isinstance(error, OSError) else "not a name"
        message = f"Tasklog cannot listen on {host} port {port} ({reason}): {advice.format(named)}."
        raise SettingsError(message) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address to open in a browser on this machine."""
    return url_at(*listener.getsockname()[:2])


def url_at(host: str, port: int) -> str:
    """Return the address to open in a browser on this machine, of a service that listens on a host and a port."""
    shown = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104 - compared
    return f"http://{shown}:{port}"

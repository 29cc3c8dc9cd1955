"""Whether a server listens on a socket. The socket's file alone proves nothing, as a killed server leaves its file."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_listened_at(path: Path) -> bool:
    """Return whether a process listens on the socket; if in doubt, True."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # for example, its queue is full
            return True
    return True

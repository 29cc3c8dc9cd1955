"""Whether a server listens at a socket of ours: its file says nothing, as it may be left of one that is gone."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_listened_at(path: Path) -> bool:
    """Whether a process listens at the socket; in doubt, yes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # its queue is full, say
            return True
    return True

"""The message that `./run` prints when it is ready."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tasklog.serving.listener import url_of

if TYPE_CHECKING:
    import socket

    from runtime.settings import Settings


def greeting(settings: Settings, listener: socket.socket) -> str:
    """Return the message: where Tasklog listens, how to call it, where the data are, and how to stop it."""
    url = url_of(listener)
    # A DATA_DIR in this terminal's environment is missing in another terminal.
    prefix = (
        f"DATA_DIR={shlex.quote(str(settings.data_dir))} " if settings.embedded and "DATA_DIR" in os.environ else ""
    )
    if settings.better_auth_secret is None and settings.jwks_url is not None:
        token, source = "$TOKEN", "with a token of your auth server in TOKEN"
    else:
        token, source = f"$({prefix}./run token alice)", "as the user alice"
    host, port = settings.admin_host, settings.admin_port
    admin = [f"Operators look at http://{host}:{port} (gateway) and :{port + 1} (projector)"] if port else []
    data = f"in {settings.data_dir}" if settings.embedded else "in the database of DATABASE_URL"
    return "\n".join(
        [
            f"Tasklog listens on {url} and explains itself on {url}/docs",
            f"Call it once, {source}:",
            f'  curl -H "Authorization: Bearer {token}" -H "Content-Type: application/json" \\',
            f'    -d \'{{"title": "Buy milk"}}\' {url}/api/alice/tasks',
            *admin,
            f"The data is {data}. Ctrl-C stops everything.",
        ]
    )

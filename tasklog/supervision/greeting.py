"""The message that `./run` prints when it is ready."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tasklog.embedded.signing import HOURS, console_link
from tasklog.serving.listener import url_of

if TYPE_CHECKING:
    import socket

    from runtime.settings import Settings


def greeting(settings: Settings, listener: socket.socket) -> str:
    """Return the message: where Tasklog listens, how to call it, where the data are, how to stop it, how to see it."""
    url = url_of(listener)
    # A DATA_DIR in this terminal's environment is missing in another terminal.
    prefix = (
        f"DATA_DIR={shlex.quote(str(settings.data_dir))} " if settings.embedded and "DATA_DIR" in os.environ else ""
    )
    signs = settings.better_auth_secret is not None or settings.jwks_url is None
    if not signs:
        token, source = "$TOKEN", "with a token of your auth server in TOKEN"
    else:
        token, source = f"$({prefix}./run token alice)", "as the user alice"
    admin = _admin(settings)
    data = f"in {settings.data_dir}" if settings.embedded else "in the database of DATABASE_URL"
    return "\n".join(
        [
            f"Tasklog listens on {url} and explains itself on {url}/docs",
            f"Call it once, {source}:",
            f'  curl -H "Authorization: Bearer {token}" -H "Content-Type: application/json" \\',
            f'    -d \'{{"title": "Buy milk"}}\' {url}/api/alice/tasks',
            *admin,
            f"The data is {data}. Ctrl-C stops everything.",
            *_console(settings, url, signs=signs),
        ]
    )


def _admin(settings: Settings) -> list[str]:
    """Return the line about the admin ports, if there are any."""
    if not (port := settings.admin_port):
        return []
    further = port + (settings.api_workers or 1)
    gateways = f":{port} (gateway)" if further == port + 1 else f":{port} to :{further - 1} (gateways)"
    last = further + (settings.projector_workers or 1) - 1
    projectors = f":{further} (projector)" if last == further else f":{further} to :{last} (projectors)"
    return [f"Operators look at http://{settings.admin_host}{gateways} and {projectors}"]


def _console(settings: Settings, url: str, *, signs: bool) -> list[str]:
    """Return the lines about the console, if it is on. Production gets no token, because a log may keep the lines."""
    if not settings.console:
        return []
    if not signs or settings.environment != "development":
        return [f"The console for people is at {url}/console"]
    return [f"Open the console as alice, for {HOURS} hours:", f"  {console_link(settings, url, 'alice')}"]

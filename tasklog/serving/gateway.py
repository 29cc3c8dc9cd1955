"""Both APIs as one ASGI app: reads go to read_api, everything else to command_api."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import command_api.app
import read_api.app
from event_log.followers import Followers
from tasklog.serving.server import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from runtime.settings import Settings

_READS = frozenset({"GET", "HEAD"})


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[ASGIApp]:
    """Run the lifespans of both apps around a block; if the second fails to start, close the first."""
    followers = Followers()
    commands = command_api.app.create_app(settings, followers)
    reads = read_api.app.create_app(settings, followers)
    async with opened(commands) as command_app, opened(reads) as read_app:

        def gateway(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return (read_app if scope["method"] in _READS else command_app)(scope, receive, send)

        yield gateway

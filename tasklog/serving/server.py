"""How every API process serves: one place for uvicorn's settings."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from edge.holds import end_holds
from runtime.stopping import StoppedAtStart, stoppable
from tasklog.serving.protocol import Protocol, allow_many_connections, sweep_forever

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

# How long open requests get at a stop, in seconds, so that gateway, projector and servers together end within 5 s.
_GRACE_SECONDS = 3


@asynccontextmanager
async def opened(app: Starlette) -> AsyncIterator[ASGIApp]:
    """Run an app's lifespan around a block, and yield the app with its lifespan's state."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        yield with_state


def serve(open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]], listener: socket.socket) -> None:
    """Serve an app until SIGTERM, SIGINT or SIGHUP. Errors of its lifespan at the start are raised here."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner, suppress(StoppedAtStart):
        runner.run(_serve(open_app, listener))


async def _serve(open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]], listener: socket.socket) -> None:
    allow_many_connections()
    with stoppable() as stopping:
        async with open_app() as app:
            server = uvicorn.Server(_config(app))
            sweeping = asyncio.create_task(sweep_forever(server.server_state.connections))

            def stop() -> None:
                end_holds()
                server.should_exit = True

            stopping.started(stop)
            try:
                await server.serve(sockets=[listener])
            finally:
                sweeping.cancel()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # uvicorn's own variable: whose forwarded client addresses to trust.
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
        date_header=True,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop

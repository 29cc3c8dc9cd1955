"""How every API process serves: one place for uvicorn's settings."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from edge.holds import end_holds
from runtime.loops import new_loop
from runtime.stopping import StoppedAtStart, stoppable
from tasklog.serving.draining import drains_on_signal
from tasklog.serving.protocol import Protocol, allow_many_connections, sweep_forever

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

# How long open requests get at a stop, in seconds, so that gateway, projector and servers together end within 5 s.
_GRACE_SECONDS = 3


@asynccontextmanager
async def opened(app: Starlette) -> AsyncIterator[ASGIApp]:
    """Run an app's lifespan around a block, and yield the app with its lifespan's state, which all requests share."""
    async with app.router.lifespan_context(app) as opened_state:
        state = dict(opened_state or {})

        def with_state(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            scope["state"] = state
            return app(scope, receive, send)

        yield with_state


def serve(
    open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]],
    listener: socket.socket,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve an app until SIGTERM, SIGINT or SIGHUP, or until it has drained after SIGUSR1.

    `ready` is called when it is about to accept. Errors of its lifespan at the start are raised here.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner, suppress(StoppedAtStart):
        runner.run(_serve(open_app, listener, ready))


async def _serve(
    open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]], listener: socket.socket, ready: Callable[[], None]
) -> None:
    allow_many_connections()
    with stoppable() as stopping:
        async with open_app() as app:
            server = uvicorn.Server(_config(app))
            sweeping = asyncio.create_task(sweep_forever(server.server_state.connections))

            def stop() -> None:
                end_holds()
                server.should_exit = True

            stopping.started(stop)
            _spare_the_collector()
            draining = drains_on_signal(server, stop)
            ready()
            try:
                await server.serve(sockets=[listener])
            finally:
                sweeping.cancel()
                draining.cancel()


def _spare_the_collector() -> None:
    """Take what the start has made out of what the garbage collector looks through; it stays until the end anyway."""
    gc.collect()
    gc.freeze()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        interface="asgi3",
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

"""Draining: a process that is being replaced answers what its clients still send, without cutting anybody off.

It accepts no further connection; those that wait are taken by the other processes of the same listening socket. Each
open connection gets one more answer, with `Connection: close`, or is closed when it has been idle for long enough.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from edge.holds import end_holds

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn

_DRAIN_SECONDS: Final = 30.0
"""How long a drain waits for open connections, in seconds: longer than a request may take to arrive."""
_LOOK_SECONDS: Final = 0.05

_draining = asyncio.Event()


def is_draining() -> bool:
    """Return whether this process is being replaced."""
    return _draining.is_set()


def drains_on_signal(server: uvicorn.Server, stop: Callable[[], object]) -> asyncio.Task[None]:
    """Drain a server after SIGUSR1, then stop it; return the task that waits for that."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _draining.set)
    return asyncio.create_task(_drain(server, stop))


async def _drain(server: uvicorn.Server, stop: Callable[[], object]) -> None:
    await _draining.wait()
    end_holds()
    for listening in server.servers:
        listening.close()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DRAIN_SECONDS
    while server.server_state.connections and loop.time() < deadline:  # noqa: ASYNC110 - uvicorn's set has no event
        await asyncio.sleep(_LOOK_SECONDS)
    stop()

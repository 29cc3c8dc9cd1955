"""Closes listeners in tests without leaking a socket."""

from __future__ import annotations

import asyncio
from typing import Final

_TURNS: Final = 10
"""Turns of the event loop: asyncio needs three between a connection and the call of its handler."""


async def close(server: asyncio.Server) -> None:
    """Stop accepting, pass on connections that were already accepted, and close.

    `Server.close` alone leaks the socket of a connection that was accepted in the same turn of the loop.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    server.close()

"""Closing a listener in the tests without leaving a socket open."""

from __future__ import annotations

import asyncio
from typing import Final

_TURNS: Final = 10
"""Turns of the loop: asyncio needs three from a connection to the call of its handler."""


async def close(server: asyncio.Server) -> None:
    """Accept no more, hand over what was accepted already, and close.

    `Server.close` alone loses the socket of a connection that was accepted in the same turn of the loop.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    server.close()

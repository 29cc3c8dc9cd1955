"""Event loops of the services: uvloop where there is one, as each round trip costs it less."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for a process."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    loop.set_exception_handler(_report)
    return loop


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody handled, except for futures of connections that were lost.

    asyncpg abandons one if a server ends the connection as a COPY begins. The COPY itself raises an error, too.
    """
    if not ("future" in context and isinstance(context.get("exception"), asyncpg.ConnectionDoesNotExistError)):
        loop.default_exception_handler(context)

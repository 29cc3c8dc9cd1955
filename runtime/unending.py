"""Work that goes on for as long as a service runs: if it fails, it begins again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

AGAIN_SECONDS: Final = 0.5
"""How long after a failure the work begins again, in seconds."""

log: FilteringBoundLogger = structlog.get_logger()


async def unending(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work until it ends or is cancelled. After an error, which is logged with the name `what`, begin it again."""
    while True:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the service needs the work
            log.warning("work failed and begins again", work=what, error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

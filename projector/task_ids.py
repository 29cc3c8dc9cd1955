"""The sequence of task ids, checked when a projector starts, because a restore may have left it behind."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from runtime.database import Database, UnavailableError

MEND: Final = "SELECT tasklog.mend_task_ids()"
RETRY_SECONDS: Final = 10.0

log = structlog.get_logger()


async def mend_task_ids(database: Database) -> None:
    """Move the sequence forward to the highest task id, if it is behind; retry while Postgres is away."""
    while True:
        try:
            moved = (await database.fetch(MEND))[0][0]
        except UnavailableError:
            await asyncio.sleep(RETRY_SECONDS)
        else:
            if moved is not None:
                log.warning(
                    "the sequence of task ids was behind the highest id, and was moved forward", stands_at=moved
                )
            return

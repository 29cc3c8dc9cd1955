"""Import: an export back into an empty ledger, where the chains stay whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from audit.export_file import COLUMNS, ExportError, ExportFile, FileEvent, complete
from audit.report import Progress
from event_log.chain import Chain
from runtime.database import Database


class LedgerNotEmptyError(Exception):
    """Import goes into a database that was just migrated."""


async def import_(database: Database, path: Path, *, progress: Progress = lambda _: None) -> int:
    """Read an export into an empty ledger, as its owner, in one transaction; the number of events.

    Hashes, positions and times stay what they were, so anchors keep their worth. The services may run: they wait.

    Raises:
        LedgerNotEmptyError: there are streams already.
        ExportError: the file is not whole or does not verify; nothing is imported.
        UnavailableError: the database went away; nothing is imported.
    """
    total, chain, newest_task = 0, Chain(), 0
    async with database.transaction("synchronous_commit = on") as connection:
        await connection.execute("LOCK TABLE tasklog.streams IN EXCLUSIVE MODE")
        if await connection.fetchval("SELECT EXISTS (SELECT FROM tasklog.streams)"):
            raise LedgerNotEmptyError
        for events in ExportFile(path=path).events():
            chain.feed([event.link() for event in events])
            await _begin_streams(connection, chain, current=events[-1].user_id)
            await _copy(connection, events)
            newest_task = max(newest_task, *(event.task_id or 0 for event in events))
            total += len(events)
            progress(len(events))
        await _begin_streams(connection, chain, current=None)
        await connection.execute("SELECT setval('tasklog.task_ids', $1, $2)", max(newest_task, 1), newest_task > 0)
    return total


async def _begin_streams(connection: Any, chain: Chain, *, current: str | None) -> None:
    """Write the heads of all users but the `current` one, whose events may go on; refuse a chain with a fault."""
    ended = list(complete(chain, current))
    for fault in chain.faults.values():
        raise ExportError(f"user {fault.user_id}, position {fault.position}: {fault.reason}")
    now = datetime.now().astimezone()
    heads = [
        (user_id, head.position, bytes.fromhex(head.hash), datetime.fromisoformat(head.recorded_at), now)
        for user_id, head in ended
    ]
    columns = ("user_id", "head", "hash", "recorded_at", "unprojected_since")
    await connection.copy_records_to_table("streams", schema_name="tasklog", columns=columns, records=heads)


async def _copy(connection: Any, events: list[FileEvent]) -> None:
    try:
        await connection.copy_records_to_table(
            "events", schema_name="tasklog", columns=COLUMNS, records=[event.record() for event in events]
        )
    except (ValueError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        reason = f"an event of user {events[0].user_id} or the next ones cannot be stored ({type(error).__name__})"
        raise ExportError(reason) from None

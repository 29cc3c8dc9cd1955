"""Import: read an export into an empty ledger, with all its chains unchanged."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from audit.export_file import ExportFile, Proof
from audit.export_line import COLUMNS, ExportError, FileEvent
from audit.report import Progress
from runtime.database import Database

_USED: Final = """
    -- Whether any user has any data.
    SELECT EXISTS (SELECT FROM tasklog.streams) OR EXISTS (SELECT FROM tasklog.events)
        OR EXISTS (SELECT FROM tasklog.checkpoints) OR EXISTS (SELECT FROM tasklog.tasks)
        OR EXISTS (SELECT FROM tasklog.idempotency_keys)
"""


class LedgerNotEmptyError(Exception):
    """The database already has data; import needs a newly migrated one."""


async def import_(database: Database, path: Path, *, progress: Progress = lambda _: None) -> int:
    """Read an export into an empty ledger in one transaction, as the owner; return the number of events.

    Hashes, positions and times stay the same, so anchors stay valid. Services may run; their writes wait.

    Raises:
        LedgerNotEmptyError: there is already data of a user.
        ExportError: the file is incomplete or does not verify; nothing is imported.
        UnavailableError: the database went away; nothing is imported.
    """
    total, proof = 0, Proof()
    async with database.transaction("synchronous_commit = on") as connection:
        await connection.execute("LOCK TABLE tasklog.streams IN EXCLUSIVE MODE")
        if await connection.fetchval(_USED):
            raise LedgerNotEmptyError
        for events in ExportFile(path=path).events():
            proof.feed(events)
            await _begin_streams(connection, proof, current=events[-1].user_id)
            await _copy(connection, events)
            total += len(events)
            progress(len(events))
        await _begin_streams(connection, proof, current=None)
        await connection.execute("SELECT tasklog.mend_task_ids()")
    return total


async def _begin_streams(connection: Any, proof: Proof, *, current: str | None) -> None:
    """Write the heads of all users but `current`, whose events may continue; refuse a stream with a fault."""
    ended = list(proof.complete(current))
    for fault in proof.faults:
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

"""Import: read an export into a ledger, with all its chains unchanged; none of its users may be there.

An empty ledger takes a whole one. A ledger that is in use takes users who are new to it, and their task ids, unless
somebody else has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from audit.arrival import ArrivalError, NewTask, admit, claim_ids, note_arrival, open_arrival
from audit.export_file import ExportFile, Proof
from audit.export_line import COLUMNS, KEY_COLUMNS, ExportError, FileEvent
from audit.report import Progress
from audit.standing import GivenIds, given_ids
from event_log.chain import Head
from runtime.database import Database

_USED: Final = """
    -- Whether any user has any data.
    SELECT EXISTS (SELECT FROM tasklog.streams) OR EXISTS (SELECT FROM tasklog.events)
        OR EXISTS (SELECT FROM tasklog.checkpoints) OR EXISTS (SELECT FROM tasklog.tasks)
        OR EXISTS (SELECT FROM tasklog.idempotency_keys) OR EXISTS (SELECT FROM tasklog.departures)
        OR EXISTS (SELECT FROM tasklog.arrivals)
"""
_LOST_KEYS: Final = "SELECT task_id, version FROM tasklog.keys_without_event($1)"


class LedgerNotEmptyError(Exception):
    """The ledger has data of users already, and was asked for as an empty one."""


async def import_(
    database: Database, path: Path, *, into_empty: bool = False, progress: Progress = lambda _: None
) -> int:
    """Read an export into the ledger in one transaction, as the owner; return the number of events.

    Hashes, positions, ids and times stay the same, so anchors stay valid. Services may run; writes to an empty ledger
    wait.

    Raises:
        LedgerNotEmptyError: `into_empty` was asked for, and it is not.
        ArrivalError: a user is in the ledger, or has left it, or somebody else has a task id; nothing is imported.
        ExportError: the file is incomplete or does not verify; nothing is imported.
        UnavailableError: the database went away; nothing is imported.
    """
    total, given = 0, await given_ids(database)
    async with database.transaction("synchronous_commit = on") as connection:
        into = _Import(connection=connection, given=given, is_empty=await _is_empty(connection))
        if into_empty and not into.is_empty:
            raise LedgerNotEmptyError
        file = ExportFile(path=path)
        for events in file.events():
            await into.take(events)
            total += len(events)
            progress(len(events))
        await into.end()
        await _copy_keys(connection, file)
        await claim_ids(connection, database, into.tasks)
        if into.is_empty:
            await connection.execute("SELECT tasklog.mend_task_ids()")
    return total


async def _is_empty(connection: Any) -> bool:
    """Return whether the ledger is empty; if so, it stays empty for others until the transaction ends."""
    if await connection.fetchval(_USED):
        return False
    await connection.execute("LOCK TABLE tasklog.streams IN EXCLUSIVE MODE")
    return not await connection.fetchval(_USED)


@dataclass(kw_only=True, slots=True)
class _Import:
    """An import in its transaction; `tasks` are those whose ids have to be claimed."""

    connection: Any
    given: GivenIds
    is_empty: bool
    proof: Proof = field(default_factory=Proof)
    tasks: list[NewTask] = field(default_factory=list)
    _admitted: str | None = None

    async def take(self, events: list[FileEvent]) -> None:
        """Check and store events; refuse users who are here, or left."""
        self.proof.feed(events)
        if not self.is_empty:
            for user_id in dict.fromkeys(event.user_id for event in events):
                if user_id != self._admitted and (home := await admit(self.connection, user_id)) is not None:
                    place = home.cell or "another place"
                    raise ArrivalError(f"{user_id} left this ledger for {place}: bring them back with ./run move there")
                self._admitted = user_id
        self.tasks += [
            NewTask(event.user_id, event.task_id, event.position)
            for event in events
            if event.version == 1 and event.task_id is not None and not self._is_given(event.task_id)
        ]
        ended = self._ended(events[-1].user_id)
        records = [event.record() for event in events]
        await _copy(
            self.connection, "events", COLUMNS, records, f"an event of user {events[0].user_id} or the next ones"
        )
        await self._open(ended)

    def _is_given(self, task_id: int) -> bool:
        """Return whether nobody else can have an id: an empty ledger gets all ids of its own range with this import."""
        return self.is_empty and self.given.first_id <= task_id <= self.given.last_id

    async def end(self) -> None:
        """Open the last stream."""
        await self._open(self._ended(None))

    def _ended(self, current: str | None) -> list[tuple[str, Head]]:
        """Return the heads of all users but `current`, whose events may continue; refuse a stream with a fault."""
        ended = list(self.proof.complete(current))
        for fault in self.proof.faults:
            raise ExportError(f"user {fault.user_id}, position {fault.position}: {fault.reason}")
        return ended

    async def _open(self, ended: list[tuple[str, Head]]) -> None:
        if self.is_empty:
            await self._begin_streams(ended)
            return
        for user_id, head in ended:
            end = (user_id, head.position, bytes.fromhex(head.hash))
            await note_arrival(self.connection, *end)
            await open_arrival(self.connection, *end)

    async def _begin_streams(self, ended: list[tuple[str, Head]]) -> None:
        now = datetime.now().astimezone()
        heads = [
            (user_id, head.position, bytes.fromhex(head.hash), datetime.fromisoformat(head.recorded_at), now)
            for user_id, head in ended
        ]
        columns = ("user_id", "head", "hash", "recorded_at", "unprojected_since")
        await self.connection.copy_records_to_table("streams", schema_name="tasklog", columns=columns, records=heads)


async def _copy_keys(connection: Any, file: ExportFile) -> None:
    await _copy(connection, "idempotency_keys", KEY_COLUMNS, [key.record() for key in file.keys], "an idempotency key")
    for row in await connection.fetch(_LOST_KEYS, file.user_id) if file.keys else ():
        raise ExportError(
            f"an idempotency key is for version {row['version']} of task {row['task_id']}, which is missing"
        )


async def _copy(connection: Any, table: str, columns: tuple[str, ...], records: list[Any], what: str) -> None:
    if not records:
        return
    try:
        await connection.copy_records_to_table(table, schema_name="tasklog", columns=columns, records=records)
    except (ValueError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise ExportError(f"{what} cannot be stored ({type(error).__name__})") from None

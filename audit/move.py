"""Move a user to another ledger, while both are in use: nothing that was acknowledged is lost, and nobody is in two.

The events are copied while the user goes on writing. Then a lock on the user's stream holds new writes up, the rest
follows, and both ledgers commit, one after the other:

1. The target has the whole stream, closed: it is not read and takes no writes.
2. The source closes its stream: from now on it answers 421. This is the point of no return.
3. The target opens its stream.

A lock ends with the command that holds it. So a move that is killed before step 2 leaves the user where they were, and
the next one begins again; after step 2 the next one goes on. The rows on the source stay until `remove` (below): reads
that began before go on to see them.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from audit.arrival import ArrivalError, admit, check_home, claim_ids, note_arrival, open_arrival
from audit.report import Progress
from audit.standing import given_ids
from audit.stream_copy import ErasedError, FaultError, StreamCopy
from event_log.chain import Head
from event_log.read import NoStreamError
from runtime.database import Database
from runtime.schema import INSTALLED

_ATTEMPTS: Final = 5
"""How often a copy begins again because the user was erased meanwhile."""
_ROUNDS: Final = 10
_FEW: Final = 200
"""Events: copying without the lock ends after a round with no more of them, or after _ROUNDS rounds."""

_LOCK_MOVE: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))"
_LEDGER: Final = "SELECT system_identifier || ' ' || current_database() FROM pg_control_system()"
_HEAD: Final = """
    SELECT s.head, s.hash, to_char(s.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at
    FROM tasklog.streams s WHERE s.user_id = $1
"""
_HOLD: Final = f"{_HEAD} FOR UPDATE"
_LAST: Final = """
    -- The last event of a closed stream, as its head.
    SELECT e.position AS head, e.hash,
           to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at
    FROM tasklog.events e WHERE e.user_id = $1 AND e.position = $2
"""
_DEPARTURE: Final = """
    SELECT cell, ledger, position, hash, arrived_at FROM tasklog.departures WHERE user_id = $1
"""
_MENDED: Final = "SELECT mended_at FROM tasklog.checkpoints WHERE user_id = $1"
_LEAVE: Final = (
    """
    INSERT INTO tasklog.departures AS d (user_id, cell, ledger, position, hash, left_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp())
    ON CONFLICT (user_id) DO UPDATE SET cell = excluded.cell, ledger = excluded.ledger, position = excluded.position,
        hash = excluded.hash, left_at = excluded.left_at, arrived_at = NULL, removed_at = NULL
    """,
    "DELETE FROM tasklog.streams WHERE user_id = $1",
    "DELETE FROM tasklog.arrivals WHERE user_id = $1",
    "DELETE FROM tasklog.arrived_tasks WHERE user_id = $1",
)
_ARRIVED: Final = """
    -- Whether the stream of user $1 is open, and has hash $3 at position $2.
    SELECT EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = $1)
       AND EXISTS (SELECT FROM tasklog.events e WHERE e.user_id = $1 AND e.position = $2 AND e.hash = $3)
"""
_CONFIRM: Final = (
    "UPDATE tasklog.departures SET arrived_at = clock_timestamp() WHERE user_id = $1 AND arrived_at IS NULL"
)

_LOST: Final = (
    "{} has left this ledger at position {}, but the other one does not have the stream: bring it back there from a "
    "backup of that moment or later, and run this command again."
)


class MoveError(Exception):
    """A user who cannot be moved: one sentence that says why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A user who is in the other ledger now, and the last event before that.

    `held_seconds` is how long the user's writes were held up; None if the move had begun before.
    """

    user_id: str
    cell: str | None
    position: int
    hash: str
    held_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Closed:
    """A closed stream: where it went, and its end."""

    ledger: str
    position: int
    hash: bytes
    was_open: bool = False
    held_seconds: float | None = None


async def move(
    source: Database, target: Database, user_id: str, cell: str | None, progress: Progress = lambda _: None
) -> Moved:
    """Move a user from one ledger to another, or finish a move that was begun; both are opened as their owners.

    `cell` is the name of the other one for the gateway.

    Raises:
        MoveError: the user or the ledgers do not allow it; nothing was changed.
        NoStreamError: the source has no such user.
        UnavailableError: a database went away; the same command continues from there.
    """
    async with source.transaction("idle_in_transaction_session_timeout = 0") as alone:
        if not await alone.fetchval(_LOCK_MOVE, user_id):
            raise MoveError(f"Another command is moving {user_id}: wait until it has ended.")
        await _check_ledgers(source, target)
        ledger = await _identity(target)
        move_ = _Move(source=source, target=target, user_id=user_id, cell=cell, ledger=ledger, progress=progress)
        closed = await move_.left_before()
        if closed is None:
            closed = await move_.leave()
        await move_.arrive(closed)
    digest = closed.hash.hex()
    return Moved(user_id=user_id, cell=cell, position=closed.position, hash=digest, held_seconds=closed.held_seconds)


async def _identity(database: Database) -> str:
    """Return what tells a ledger apart; some providers do not tell the identifier of their server."""
    try:
        return str((await database.fetch(_LEDGER))[0][0])
    except asyncpg.InsufficientPrivilegeError:
        return str((await database.fetch("SELECT current_database()"))[0][0])


async def _check_ledgers(source: Database, target: Database) -> None:
    """Refuse two ledgers of different versions, and two that give the same task ids."""
    schemas = {(await database.fetch(INSTALLED))[0]["installed"] for database in (source, target)}
    if len(schemas) > 1:
        raise MoveError("The two ledgers have the schemas of different versions: run ./run migrate on both.")
    here, there = await given_ids(source), await given_ids(target)
    if here.first_id <= there.last_id and there.first_id <= here.last_id:
        raise MoveError(
            f"Both ledgers give task ids from {max(here.first_id, there.first_id)} on: set TASK_IDS to a range of its "
            "own for each, and run ./run migrate on both."
        )


@dataclass(kw_only=True, slots=True)
class _Move:
    source: Database
    target: Database
    user_id: str
    cell: str | None
    ledger: str
    progress: Progress

    async def left_before(self) -> _Closed | None:
        """Return the end of the stream if an earlier move has closed it."""
        rows = await self.source.fetch(_DEPARTURE, self.user_id)
        if not rows or await self.source.fetch(_HEAD, self.user_id):
            return None
        row = rows[0]
        if row["ledger"] != self.ledger:
            place = row["cell"] or "another place"
            raise MoveError(f"{self.user_id} has left this ledger for {place}: name that one with --to.")
        was_open = row["arrived_at"] is not None
        return _Closed(ledger=row["ledger"], position=row["position"], hash=row["hash"], was_open=was_open)

    async def leave(self) -> _Closed:
        """Bring the whole stream to the target, and close it here."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._leave_once()
            except ErasedError:
                continue
            except (ArrivalError, FaultError) as error:
                raise MoveError(f"{error}, so nothing was moved.") from None
        raise MoveError(f"{self.user_id} is being erased again and again: try again later.")

    async def _leave_once(self) -> _Closed:
        async with AsyncExitStack() as holding:
            async with self.target.transaction("synchronous_commit = on") as there:
                copy = StreamCopy(target=there, user_id=self.user_id, home=await admit(there, self.user_id))
                await self._copy_ahead(copy)
                here = await holding.enter_async_context(self.source.transaction("synchronous_commit = on"))
                began = time.monotonic()
                row = await here.fetchrow(_HOLD, self.user_id)
                await self._complete(copy, here, row)
            # The target has committed: see above.
            await here.execute(_LEAVE[0], self.user_id, self.cell, self.ledger, row["head"], row["hash"])
            for statement in _LEAVE[1:]:
                await here.execute(statement, self.user_id)
        seconds = time.monotonic() - began
        return _Closed(ledger=self.ledger, position=row["head"], hash=row["hash"], held_seconds=seconds)

    async def _copy_ahead(self, copy: StreamCopy) -> None:
        """Copy while the user goes on writing, until only a few events are new."""
        for _ in range(_ROUNDS):
            rows = await self.source.fetch(_HEAD, self.user_id)
            if not rows:
                raise NoStreamError(self.user_id)
            new = rows[0]["head"] - copy.position
            async with self.source.transaction() as here:
                await copy.events(here, rows[0]["head"])
            self.progress(new)
            if new <= _FEW:
                return

    async def _complete(self, copy: StreamCopy, here: Any, row: Any) -> None:
        """Copy the rest of a stream that nobody can change, and what belongs to it; check all of it."""
        if row is None:
            raise NoStreamError(self.user_id)
        await copy.events(here, row["head"])
        copy.check(Head(row["head"], row["hash"].hex(), row["recorded_at"]))
        await copy.keys(here)
        if copy.home is not None:
            await check_home(copy.target, self.user_id, copy.home)
        await claim_ids(copy.target, self.target, copy.tasks, 0 if copy.home is None else copy.home.position)
        mended_at = await here.fetchval(_MENDED, self.user_id)
        await note_arrival(copy.target, self.user_id, row["head"], row["hash"], mended_at)

    async def arrive(self, closed: _Closed) -> None:
        """Open the closed stream at the target, and note at the source that it is open there, with the same hash."""
        if not (await self._is_open(closed) or await self._open(closed)):
            await self._bring_again(closed)
            await self._open(closed)
        if not await self._is_open(closed):
            raise MoveError(_LOST.format(self.user_id, closed.position))
        await self.source.fetch(_CONFIRM, self.user_id)

    async def _is_open(self, closed: _Closed) -> bool:
        return bool((await self.target.fetch(_ARRIVED, self.user_id, closed.position, closed.hash))[0][0])

    async def _open(self, closed: _Closed) -> bool:
        async with self.target.transaction("synchronous_commit = on") as there:
            return await open_arrival(there, self.user_id, closed.position, closed.hash)

    async def _bring_again(self, closed: _Closed) -> None:
        """Copy a closed stream that the target has lost before it was ever open there."""
        if closed.was_open:
            raise MoveError(_LOST.format(self.user_id, closed.position))
        try:
            async with self.target.transaction("synchronous_commit = on") as there:
                copy = StreamCopy(target=there, user_id=self.user_id, home=await admit(there, self.user_id))
                async with self.source.transaction() as here:
                    await self._complete(copy, here, await here.fetchrow(_LAST, self.user_id, closed.position))
        except (ArrivalError, FaultError) as error:
            raise MoveError(f"{error}, so nothing was moved.") from None

"""Reads on a standby that are never stale.

An answer of the standby counts if it holds every write that was acknowledged before it was asked for, and nothing that
the primary does not have. The primary's heads tell that: their positions count the writes, and their hashes identify
the history. So a standby that lags is waited for, and one with another history is never believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from read_api.counts import COUNTS, Outcome
from read_api.queries import Head, heads, json_array
from runtime.database import UnavailableError

if TYPE_CHECKING:
    from event_log.append import Fetching
    from read_api.standby import Standby
    from runtime.database import Database

MARKS: Final = """
    -- The hash prefixes at position $2 of users $1; null for a position that a user does not have.
    SELECT asked.user_id, there.mark FROM unnest($1::text[], $2::bigint[]) AS asked (user_id, position)
    CROSS JOIN LATERAL tasklog.moment(asked.user_id, asked.position, NULL) AS there
"""
LEFT: Final = "SELECT bool_or(tasklog.elsewhere(user_id) IS NOT NULL) FROM unnest($1::text[]) AS asked (user_id)"
_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.02
_IMPATIENT_SECONDS: Final = 1.0
"""For how long nobody waits after the standby was too far behind, in seconds."""

_BEHIND_SECONDS: Final = 5.0
"""For how long `/ready` says that the standby was behind, in seconds."""
_QUIET_SECONDS: Final = 60.0
"""How long it must have been in time until the log says it again, in seconds."""

log = structlog.get_logger()


@cache
def checked(query: str, arguments: int) -> str:
    """Return the query behind a look at the heads in the same snapshot.

    The look has three arguments more: users, and the positions and revisions of their heads on the primary. Its first
    row says whether all users are at these positions (if not, the query does not run), and names the heads that differ.
    """
    users, positions, revisions = (f"${arguments + n}" for n in (1, 2, 3))
    return f"""
    SELECT seen.is_there AS standby_is_there, seen.others AS standby_others, answer.*
    FROM tasklog.compared_heads({users}, {positions}, {revisions}) AS seen
    LEFT JOIN LATERAL (
        SELECT true AS standby_row, asked.* FROM ({query}
        ) AS asked WHERE seen.is_there
    ) AS answer ON true
    """  # noqa: S608 - nothing in it comes from outside


class StandbyRows:
    """Reads on the standby, and on the primary what the standby does not have in time."""

    def __init__(self, primary: Database, standby: Standby, wait_seconds: float) -> None:
        self._primary, self._standby, self._seconds = primary, standby, wait_seconds
        self._impatient_until = self._behind_at = float("-inf")

    def of(self, users: Sequence[str]) -> Fetching:
        """Return the database for a statement that only shows what these users have."""
        return _RowsOf(self, list(dict.fromkeys(users)))

    def note(self) -> str | None:
        """Return in one sentence why not all reads are answered by the standby; None if they are."""
        if self._standby.database is not None and _now() < self._behind_at + _BEHIND_SECONDS:
            return f"The standby is more than {self._seconds * 1000:.0f} ms behind: the primary answers what it lacks."
        return self._standby.note()

    async def fetch(self, users: Sequence[str], query: str, *args: Any) -> Sequence[Any]:
        """Run a statement about some users, and return its rows.

        Raises:
            UnavailableError: the primary cannot answer.
        """
        database = self._standby.database
        rows = None
        if database is None:
            COUNTS.outcomes[Outcome.AWAY] += 1
        else:
            wanted = dict(zip(users, await heads(self._primary, users), strict=True))
            rows = await self._on_standby(database, wanted, query, args)
            if await self._have_left([user_id for user_id, head in wanted.items() if not head.position]):
                rows = None
        return await self._primary.fetch(query, *args) if rows is None else rows

    async def _have_left(self, users: Sequence[str]) -> bool:
        """Return whether one of these users, who have no stream on the primary, is in another ledger.

        The standby may not know that yet, and have the stream, or none at all.
        """
        return bool(users) and bool((await self._primary.fetch(LEFT, users))[0][0])

    async def _on_standby(
        self, database: Database, wanted: Mapping[str, Head], query: str, args: Sequence[Any]
    ) -> Sequence[Any] | None:
        """Return the standby's rows once it has the wanted heads, or None if it has not in time, or fails."""
        try:
            rows = await self._in_time(database, wanted, query, args)
        except (UnavailableError, asyncpg.PostgresError, asyncpg.InterfaceError):
            COUNTS.outcomes[Outcome.FAILED] += 1
            self._standby.suspect()
            return None
        if rows is None:
            self._is_behind()
        else:
            COUNTS.outcomes[Outcome.STANDBY] += 1
        return rows

    def _is_behind(self) -> None:
        COUNTS.outcomes[Outcome.BEHIND] += 1
        if _now() > self._behind_at + _QUIET_SECONDS:
            log.warning("the standby is behind: the primary answers what it lacks", waited_ms=self._seconds * 1000)
        self._behind_at = _now()

    async def _in_time(
        self, database: Database, wanted: Mapping[str, Head], query: str, args: Sequence[Any]
    ) -> Sequence[Any] | None:
        statement = checked(query, len(args))
        known = [*wanted], [head.position for head in wanted.values()], [head.revision for head in wanted.values()]
        began, pause = _now(), 0.0
        patience = 0.0 if began < self._impatient_until else self._seconds
        while True:
            rows = await database.fetch(statement, *args, *known)
            if await self._counts(rows[0], wanted):
                if pause:
                    COUNTS.waits.observe(_now() - began)
                return rows if rows[0]["standby_row"] else []
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            if _now() + pause > began + patience:
                self._impatient_until = max(self._impatient_until, began + patience + _IMPATIENT_SECONDS)
                return None
            await asyncio.sleep(pause)

    async def _counts(self, row: Mapping[str, Any], wanted: Mapping[str, Head]) -> bool:
        """Return whether an answer with these heads has every wanted write, and nothing that the primary lacks."""
        if not row["standby_is_there"]:
            return False
        later: dict[str, Head] = {}
        for user_id, position, mark in json_array(row["standby_others"]):
            head, known = Head(position or 0, mark or ""), wanted[user_id]
            if head.position > known.position:
                later[user_id] = head
            elif _hash(head) != _hash(known):
                self._standby.differs(user_id, head.position)
                return False
            if _repair(head) < _repair(known):
                return False
        return not later or await self._are_on_primary(later)

    async def _are_on_primary(self, later: Mapping[str, Head]) -> bool:
        """Return whether the primary has these heads too; of a synchronous standby, it may have them a moment later."""
        found = await self._primary.fetch(MARKS, [*later], [head.position for head in later.values()])
        return all(row["mark"] == _hash(later[row["user_id"]]) for row in found)


class _RowsOf:
    def __init__(self, rows: StandbyRows, users: Sequence[str]) -> None:
        self._rows, self._users = rows, users

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        return await self._rows.fetch(self._users, query, *args)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _hash(head: Head) -> str:
    return head.revision.partition(".")[0]


def _repair(head: Head) -> int:
    """Return when the user's rows were last repaired, in microseconds from 1970, or 0."""
    return int(head.revision.partition(".")[2] or "0", 16)

"""Users who have left for another ledger: who they are, and removing what is left of them here."""

from __future__ import annotations

from typing import Final

from runtime.database import Database

_TO_REMOVE: Final = """
    -- Users who arrived elsewhere at least $1 hours ago and still have rows here.
    SELECT user_id FROM tasklog.departures
    WHERE arrived_at <= now() - make_interval(hours => $1) AND removed_at IS NULL ORDER BY user_id
"""
_STILL_GONE: Final = """
    -- Lock the departure of user $1; nothing if the user has come back meanwhile.
    SELECT FROM tasklog.departures WHERE user_id = $1 AND arrived_at IS NOT NULL AND removed_at IS NULL FOR UPDATE
"""
_ROWS: Final = ("checkpoints", "tasks", "idempotency_keys", "events")
_REMOVED: Final = "UPDATE tasklog.departures SET removed_at = now() WHERE user_id = $1"
_COUNTS: Final = """
    -- How many users are arriving, how many have left, and how many of those still have rows here.
    SELECT (SELECT count(*) FROM tasklog.arrivals WHERE opened_at IS NULL) AS arriving,
           count(*) AS "left", count(*) FILTER (WHERE removed_at IS NULL) AS to_remove,
           count(*) FILTER (WHERE arrived_at IS NULL) AS unconfirmed
    FROM tasklog.departures
"""


async def remove(database: Database, hours: int) -> int:
    """Remove the rows of users who left, and arrived elsewhere at least `hours` ago, as the owner; return how many.

    Only then are long reads at an end that began before. That the users left, and with which hash, stays on record.
    """
    removed = 0
    for (user_id,) in await database.fetch(_TO_REMOVE, hours):
        async with database.transaction("synchronous_commit = on") as connection:
            if await connection.fetchrow(_STILL_GONE, user_id) is None:
                continue
            for table in _ROWS:
                await connection.execute(f"DELETE FROM tasklog.{table} WHERE user_id = $1", user_id)  # noqa: S608
            await connection.execute(_REMOVED, user_id)
            removed += 1
    return removed


async def moving_users(database: Database) -> dict[str, int]:
    """Return how many users are `arriving`, have `left`, of those are `to_remove`, and `unconfirmed`."""
    return dict((await database.fetch(_COUNTS))[0])

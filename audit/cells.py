"""What only several ledgers together show: who is in two of them, and in which of them the anchored users are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.report import Anchors
from event_log.chain import Fault
from runtime.database import Database

_USERS: Final = "SELECT user_id FROM tasklog.streams WHERE user_id > $1 ORDER BY user_id LIMIT 5000"
_PRESENT: Final = """
    -- Those of users $1 who are here.
    SELECT user_id FROM unnest($1::text[]) AS asked (user_id)
    WHERE EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = asked.user_id)
"""


async def in_two(named: Sequence[tuple[str, Database]]) -> list[Fault]:
    """Return a fault for each user who has a stream in two of some ledgers, which have names."""
    faults: list[Fault] = []
    for n, (name, database) in enumerate(named):
        last = ""
        while rows := await database.fetch(_USERS, last):
            users = [row["user_id"] for row in rows]
            last = users[-1]
            for other, its in named[n + 1 :]:
                faults += [
                    Fault(user_id=user, position=None, reason=f"has a stream in {name} and one in {other}")
                    for user in await _present(its, users)
                ]
    return faults


async def anchors_of_each(databases: Sequence[Database], anchors: Anchors) -> list[Anchors]:
    """Return the anchors that each ledger is to have: those of its users. The first one has those of nobody's."""
    left, found = dict(anchors), list[Anchors]()
    for database in databases:
        here = await _present(database, list(left))
        found.append({user: left.pop(user) for user in here})
    return [{**found[0], **left}, *found[1:]]


async def _present(database: Database, users: Sequence[str]) -> list[str]:
    return [row["user_id"] for row in await database.fetch(_PRESENT, users)]


async def is_here(database: Database, user_id: str) -> bool:
    """Return whether a ledger has a user's stream."""
    return bool(await _present(database, [user_id]))

"""Ways to tamper: bob's stream between two others, and statements that change it as nobody may."""

from __future__ import annotations

from typing import NamedTuple

from audit.verify import verify
from domain.events import TaskCompleted, TaskDeleted, TaskEdited, TaskReopened
from projector.catch_up import catch_up
from runtime.database import Database
from tests.ledger import appended, created, of

EVENT = "UPDATE tasklog.events SET {} WHERE user_id = 'bob' AND position = {}"
DELETE = "DELETE FROM tasklog.events WHERE user_id = 'bob' AND position {}"
FORGED = """'{"description":null,"title":"Forged"}'"""


class Tampering(NamedTuple):
    """Statements, and the position at which they are found in bob's stream."""

    position: int
    statements: tuple[str, ...]


async def three_streams(writer: Database, projector: Database) -> Database:
    """Return a ledger with six events of bob between those of alice and zoe, all projected."""
    for user in ("alice", "bob", "zoe"):
        milk, bread = await created(writer, user), await created(writer, user, "Bread")
        edited = TaskEdited(title="Oat milk", description="Two")
        await appended(writer, of(user, edited, TaskCompleted(), TaskReopened(), task=milk, expected=1))
        await appended(writer, of(user, TaskDeleted(), task=bread, expected=1))
    await catch_up(projector)
    assert (await verify(projector)).faults == []
    return projector

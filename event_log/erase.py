"""Erase a person's text (GDPR, article 17), on disk too. `erase.sql` says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from event_log.read import NoStreamError

if TYPE_CHECKING:
    from event_log.append import Fetching

ERASE: Final = "SELECT tasklog.erase($1, $2, $3)"

_MAY_VACUUM: Final = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'tasklog.events'::regclass"
_WITH_TEXT: Final = ("events", "tasks", "checkpoints", "idempotency_keys")


async def erase(database: Fetching, user_id: str, *, actor: str, request_id: str) -> int:
    """Erase the text of a user's events; return the position of the event that records it.

    Raises:
        NoStreamError: the user has no events.
        UnavailableError: the database cannot answer.
    """
    position: int | None = (await database.fetch(ERASE, user_id, actor, request_id))[0][0]
    if position is None:
        raise NoStreamError(user_id)
    return position


async def vacuum(connection: Any) -> bool:
    """Free the space of old rows so that Postgres overwrites it; return False if the login may not."""
    if not await connection.fetchval(_MAY_VACUUM):
        return False
    for table in _WITH_TEXT:
        await connection.execute(f"VACUUM tasklog.{table}")
    return True

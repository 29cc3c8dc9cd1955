"""Users who are not here: their stream moved to another ledger, or is on its way; see moves.sql."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from event_log.append import Fetching

ELSEWHERE: Final = "SELECT tasklog.elsewhere($1)"
WHEREABOUTS: Final = "SELECT tasklog.whereabouts($1)"

_ARRIVING: Final = "arriving"


class ElsewhereError(Exception):
    """The user's stream is not here. `cell` is the name of the place where it is; None if it has no name."""

    def __init__(self, cell: str | None = None) -> None:
        super().__init__(cell)
        self.cell = cell


class UserElsewhereError(Exception):
    """The stream of a user, whose id is the message, is in another ledger, or on its way from one."""


class ArrivingError(Exception):
    """The user's stream is on its way, and is open in a moment."""


def elsewhere(place: str | None) -> Exception | None:
    """Return the error for what `tasklog.elsewhere` returned; None for a user who may be here."""
    if place is None:
        return None
    return ArrivingError() if place == _ARRIVING else ElsewhereError(place.partition(" ")[2] or None)


def check_here(place: str | None) -> None:
    """Raise the error for what `tasklog.elsewhere` returned.

    Raises:
        ElsewhereError, ArrivingError: the user is not here.
    """
    if (error := elsewhere(place)) is not None:
        raise error


async def check_whereabouts(database: Fetching, user_id: str) -> None:
    """Look where a user is whose command failed.

    Raises:
        ElsewhereError, ArrivingError: the user is not here, so the command may have failed for this reason.
        UnavailableError: the database cannot answer.
    """
    check_here((await database.fetch(WHEREABOUTS, user_id))[0][0])


async def check_place(database: Fetching, user_id: str) -> None:
    """Look where a user is who has no stream here; as a reader, a projector or the owner.

    Raises:
        ElsewhereError, ArrivingError: the user is not here.
        UnavailableError: the database cannot answer.
    """
    check_here((await database.fetch(ELSEWHERE, user_id))[0][0])

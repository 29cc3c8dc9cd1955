"""What wake-ups tell the projector: whose events wait.

Those users are projected by name, and their marks in `streams` stay: to set and to clear a mark costs more than to move
a head, so it is done once a second for each user, not for each event. The sweep goes by the marks, finds what no
wake-up named, and clears the marks of users without work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from projector.catch_up import EVENTS_OF_A_USER, USERS, RefusedError, catch_up, enrol, project_batch
from projector.statements import CLEAR_UNPROJECTED, MARKED_WITHOUT_WORK
from runtime.database import Database

_MOST_NAMES: Final = 10_000
"""With more users the projector goes by the marks."""


class Woken:
    """Collects the users of wake-ups between two runs."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._users: set[str] | None = set()

    def heard(self, users: Collection[str] | None) -> None:
        """Note whose events wait; None stands for anybody."""
        if users is None or self._users is None or len(self._users) > _MOST_NAMES:
            self._users = None
        else:
            self._users.update(users)
        self._event.set()

    async def wait(self) -> None:
        """Return when there was a wake-up."""
        await self._event.wait()

    def take(self) -> set[str] | None:
        """Return the users since the last call; None for anybody."""
        users, self._users = self._users, set()
        self._event.clear()
        return users


async def catch_up_by_name(database: Database, users: Collection[str], stopping: asyncio.Event) -> None:
    """Project the events of these users; their marks stay. What is too much for one batch is done by the marks.

    Raises:
        UnavailableError: the database went away; nothing is half done.
    """
    names = [*users]
    while names and not stopping.is_set():
        named = names[:USERS]
        try:
            claimed, events, is_full = await project_batch(database, named=named)
        except RefusedError:  # the batch was rolled back: smaller ones find whose fault it is
            claimed, events, is_full = 0, 0, True
        if is_full or events >= EVENTS_OF_A_USER:
            await catch_up(database, stopping)
        # Those who were not claimed are new, or have no work, are parked, or another projector works on them.
        if claimed == len(named) or not await enrol(database, named):
            names = names[USERS:]


async def sweep(database: Database, stopping: asyncio.Event | None = None) -> None:
    """Clear the marks of users without work, and project by the others; that goes on while there is work.

    Raises:
        UnavailableError: the database went away; nothing is half done.
    """
    done = await database.fetch(MARKED_WITHOUT_WORK)
    for first in range(0, len(done), USERS):
        part = done[first : first + USERS]
        await database.fetch(CLEAR_UNPROJECTED, [row["user_id"] for row in part], [row["position"] for row in part])
    await catch_up(database, stopping)

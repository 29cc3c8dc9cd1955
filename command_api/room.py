"""Room in a queue: how many commands and how much text may wait, in total and of each user."""

from __future__ import annotations

from typing import Final

from runtime.database import UnavailableError

_WAITING: Final = 1000
"""The most commands that wait in one queue."""

_HEAVY_WAITING: Final = 32 * 1024 * 1024
"""The most text of heavy commands that waits in one queue, in characters. Light commands do not count."""

_WAITING_OF_A_USER: Final = _WAITING // 2
_HEAVY_WAITING_OF_A_USER: Final = _HEAVY_WAITING // 2
"""The most of these that one user may take, so that others find room."""


class _Taken:
    """Counts what is in use, in total and by each user."""

    def __init__(self) -> None:
        self._all = 0
        self._of_users: dict[str, int] = {}

    def leaves_room(self, user_id: str, amount: int, *, most: int, most_of_a_user: int) -> bool:
        """Return whether a user may take `amount` more."""
        return self._all + amount <= most and self._of_users.get(user_id, 0) + amount <= most_of_a_user

    def take(self, user_id: str, amount: int) -> None:
        """Count what a user takes."""
        self._all += amount
        self._of_users[user_id] = self._of_users.get(user_id, 0) + amount

    def give_back(self, user_id: str, amount: int) -> None:
        """Count what a user gives back, and forget users who have nothing left."""
        self._all -= amount
        left = self._of_users.pop(user_id, 0) - amount
        if left:
            self._of_users[user_id] = left


class Room:
    """The room of one queue, for a number of commands, and for the text of heavy ones."""

    def __init__(self) -> None:
        self._commands = _Taken()
        self._heavy_text = _Taken()

    def take(self, user_id: str, commands: int, heavy_text: int) -> None:
        """Take room for commands of a user.

        Raises:
            UnavailableError: there is not enough.
        """
        if not self._commands.leaves_room(user_id, commands, most=_WAITING, most_of_a_user=_WAITING_OF_A_USER):
            raise UnavailableError("too many commands are waiting")
        if heavy_text:
            if not self._heavy_text.leaves_room(
                user_id, heavy_text, most=_HEAVY_WAITING, most_of_a_user=_HEAVY_WAITING_OF_A_USER
            ):
                raise UnavailableError("too much text is waiting")
            self._heavy_text.take(user_id, heavy_text)
        self._commands.take(user_id, commands)

    def give_back(self, user_id: str, commands: int, heavy_text: int) -> None:
        """Give back what was taken."""
        self._commands.give_back(user_id, commands)
        if heavy_text:
            self._heavy_text.give_back(user_id, heavy_text)

"""Counts of a limited resource: in total, and per user."""

from __future__ import annotations


class Taken:
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

"""Who follows users' streams in this process, and so need not read what the same process has just appended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from secrets import token_hex
from typing import NamedTuple, Protocol

from domain.task import DeletedTask, Task
from event_log.receipt import Receipt


class Advance(NamedTuple):
    """How an append moved a user's head, and the states of the tasks that it changed, in the order of their changes.

    `before` is the head that the append found under its lock, so only who has seen exactly this head may go on from it.
    """

    user_id: str
    before: Receipt
    after: Receipt
    states: Sequence[Task | DeletedTask]


class Follower(Protocol):
    """Who follows some users' streams."""

    def follows(self, user_id: str) -> bool:
        """Return whether a user's stream is followed."""

    def advanced(self, advance: Advance) -> None:
        """Take what was appended to a stream that is followed."""

    def heard(self, users: Collection[str]) -> None:
        """Learn that these users' streams may have moved."""


class Followers:
    """The followers of a process. `sender` names the process in its wake-ups: its followers need not hear these."""

    def __init__(self) -> None:
        self._all: list[Follower] = []
        self.sender = token_hex(8)

    def join(self, follower: Follower) -> None:
        """Tell a follower from now on."""
        self._all.append(follower)

    def leave(self, follower: Follower) -> None:
        """Tell it no more."""
        self._all.remove(follower)

    def followed(self, users: Iterable[str]) -> list[str]:
        """Return those of the users whose streams are followed, each once."""
        if not self._all:
            return []
        return [user for user in dict.fromkeys(users) if any(one.follows(user) for one in self._all)]

    def advanced(self, advances: Iterable[Advance]) -> None:
        """Tell what was appended; `heard` then wakes whom it concerns."""
        for advance in advances:
            for follower in self._all:
                follower.advanced(advance)

    def heard(self, users: Collection[str]) -> None:
        """Tell that these users' streams may have moved."""
        for follower in self._all:
            follower.heard(users)

"""A command that waits for its batch, and its result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from command_api.idempotency import Done
from command_api.plan import CommandRequest
from command_api.traced import CommandTrace

BATCH: Final = 200
"""The most commands in one batch."""

BATCH_TEXT: Final = 1024 * 1024
"""A batch takes no further command once it has this much text, in characters."""


class Result(Protocol):
    """Where a command's result goes: a future, or one of many that are waited for together."""

    def done(self) -> bool:
        """Return whether nobody needs it, because it is there or nobody waits any more."""

    def cancelled(self) -> bool:
        """Return whether nobody waits any more."""

    def set_result(self, result: Done, /) -> None:
        """Give what was done."""

    def set_exception(self, exception: Exception, /) -> None:
        """Give an error."""


class Results:
    """The results of several commands, in order: whoever waits for all of them is woken once, not for each."""

    def __init__(self, number: int) -> None:
        self._found: list[Done | BaseException | None] = [None] * number
        self._missing = number
        self._all = asyncio.get_running_loop().create_future()

    def of(self, place: int) -> Result:
        """Return where the result of the command at a place goes."""
        return _Place(self, place)

    async def wait(self) -> list[Done | BaseException]:
        """Return all results when they are there."""
        if self._missing:
            await self._all
        return [found for found in self._found if found is not None]

    def give(self, place: int, result: Done | BaseException) -> None:
        """Take one result, and wake whoever waits with the last one."""
        self._found[place] = result
        self._missing -= 1
        if not self._missing and not self._all.done():
            self._all.set_result(None)

    def has(self, place: int) -> bool:
        """Return whether a result is there, or nobody waits any more."""
        return self._found[place] is not None or self._all.cancelled()

    def cancelled(self) -> bool:
        """Return whether nobody waits any more."""
        return self._all.cancelled()


class _Place:
    __slots__ = ("_place", "_results")

    def __init__(self, results: Results, place: int) -> None:
        self._results, self._place = results, place

    def done(self) -> bool:
        return self._results.has(self._place)

    def cancelled(self) -> bool:
        return self._results.cancelled()

    def set_result(self, result: Done, /) -> None:
        self._results.give(self._place, result)

    def set_exception(self, exception: Exception, /) -> None:
        self._results.give(self._place, exception)


@dataclass(kw_only=True, slots=True, eq=False)
class Waiting:
    """A command with the place of its result.

    `size` is its text in characters. At `deadline`, a time of the loop, it is given up if its user's stream is held.
    `attempts` counts the conflicts; `passed_over` is true once the stream was held. With `and_next` the next command in
    the queue belongs into the same batch.
    """

    request: CommandRequest
    result: Result
    deadline: float
    size: int
    attempts: int = 0
    passed_over: bool = False
    and_next: bool = False
    trace: CommandTrace | None = None

    def succeed(self, done: Done) -> None:
        """Give the result, unless nobody waits for it any more."""
        if not self.result.done():
            self.result.set_result(done)

    def fail(self, error: Exception) -> None:
        """Give an error as the result, unless nobody waits for it any more."""
        if not self.result.done():
            self.result.set_exception(error)

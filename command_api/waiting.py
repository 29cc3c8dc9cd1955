"""A command that waits for its batch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from command_api.idempotency import Done
from command_api.plan import CommandRequest

BATCH: Final = 200
"""The most commands in one batch."""

BATCH_TEXT: Final = 1024 * 1024
"""A batch takes no further command once it has this much text, in characters."""


@dataclass(kw_only=True, slots=True, eq=False)
class Waiting:
    """A command with the future of its result.

    `size` is its text in characters. At `deadline`, a time of the loop, it is given up if its user's stream is held.
    `attempts` counts the conflicts; `passed_over` is true once the stream was held. With `and_next` the next command in
    the queue belongs into the same batch.
    """

    request: CommandRequest
    result: asyncio.Future[Done]
    deadline: float
    size: int
    attempts: int = 0
    passed_over: bool = False
    and_next: bool = False

    def succeed(self, done: Done) -> None:
        """Give the result, unless nobody waits for it any more."""
        if not self.result.done():
            self.result.set_result(done)

    def fail(self, error: Exception) -> None:
        """Give an error as the result, unless nobody waits for it any more."""
        if not self.result.done():
            self.result.set_exception(error)

"""Lanes: the commands of single users that would make others wait, in order, apart from everybody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Final

from command_api.waiting import BATCH, BATCH_TEXT, Waiting
from domain.commands import CreateTask

_HEAVY_TASKS: Final = 8
"""The most tasks in one batch of a lane, because each may hold some megabytes."""

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
"""The first and the longest pause between two attempts of a lane, in seconds."""


class Kind(Enum):
    """Why a user's commands have a lane. Lanes of one kind do not wait for those of the other."""

    HELD = "held"
    """Another transaction holds the user's stream."""
    HEAVY = "heavy"
    """The user's commands or tasks are large."""


_AT_WORK: Final = {Kind.HELD: 2, Kind.HEAVY: 1}
"""The most lanes of a queue that work on a batch at the same time; each takes a connection of the pool."""


class Lanes:
    """The lanes of a queue; `carry_out` tries a batch of one lane, and adds what it could not carry out again."""

    def __init__(self, carry_out: Callable[[Sequence[Waiting]], Awaitable[None]]) -> None:
        self._carry_out = carry_out
        self._lanes: dict[str, deque[Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work = {kind: asyncio.Semaphore(most) for kind, most in _AT_WORK.items()}

    @property
    def length(self) -> int:
        """Return how many commands wait in all lanes."""
        return sum(map(len, self._lanes.values()))

    def of(self, user_id: str) -> deque[Waiting] | None:
        """Return the commands in a user's lane, or None without a lane."""
        return self._lanes.get(user_id)

    def open(self, user_id: str, kind: Kind) -> deque[Waiting]:
        """Return a user's lane; it stays open until it is empty."""
        if (lane := self._lanes.get(user_id)) is None:
            lane = self._lanes[user_id] = deque()
            task = asyncio.create_task(self._run(user_id, kind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return lane

    async def _run(self, user_id: str, kind: Kind) -> None:
        """Try one user's commands until none is left; a pause holds no connection, however many lanes there are."""
        lane, pause = self._lanes[user_id], _FIRST_PAUSE
        while lane:
            await asyncio.sleep(pause)
            batch = _take(lane)
            async with self._at_work[kind]:
                await self._carry_out(batch)
            pause = min(2 * pause, _LONGEST_PAUSE) if batch[0] in lane else _FIRST_PAUSE
        del self._lanes[user_id]

    async def stop(self) -> None:
        """Stop; commands still in a lane get no answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _take(lane: deque[Waiting]) -> list[Waiting]:
    """Take the next batch from a lane: at least one command, and no more tasks and text than fit into memory."""
    batch: list[Waiting] = []
    tasks: set[int | None] = set()
    text = 0
    while lane and len(batch) < BATCH and len(tasks) < _HEAVY_TASKS and text < BATCH_TEXT:
        waiting = lane.popleft()
        batch.append(waiting)
        if not isinstance(waiting.request.command, CreateTask):
            tasks.add(waiting.request.task_id)
        text += waiting.size
    return batch

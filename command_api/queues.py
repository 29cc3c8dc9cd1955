"""The command queues of a process, which share out the users among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from command_api.counts import COUNTS
from command_api.group_commit import CommandQueue
from command_api.idempotency import Done
from command_api.known_states import KnownStates
from command_api.plan import CommandRequest
from event_log.followers import Followers
from runtime.database import Database
from runtime.unending import unending
from runtime.wakeup import Wake

_QUEUES: Final = 2
"""The number of queues in a process that works alone, and so of batches in progress at a time."""


class CommandQueues:
    """The queues of a process: while Postgres works on a batch of one queue, the other decides its next batch.

    All commands of a user are in one queue, so they stay in order, and no two batches of a process lock the same
    stream.
    """

    def __init__(self, queues: Sequence[CommandQueue]) -> None:
        self._queues = queues

    def of(self, user_id: str) -> CommandQueue:
        """Return the queue of a user's commands."""
        return self._queues[hash(user_id) % len(self._queues)]

    async def execute(self, request: CommandRequest) -> Done:
        """Carry a command out; see `CommandQueue.execute`."""
        return await self.of(request.user_id).execute(request)

    async def execute_all(self, requests: Sequence[CommandRequest]) -> list[Done | BaseException]:
        """Carry out commands of one user; see `CommandQueue.execute_all`."""
        return await self.of(requests[0].user_id).execute_all(requests)


@asynccontextmanager
async def command_queues(
    database: Database, wake: Wake, workers: int = 1, followers: Followers | None = None
) -> AsyncIterator[CommandQueues]:
    """Run the queues while the service runs; `followers` are told what they append.

    One of several workers has a single queue: while Postgres works on its batch, the others decide. With more queues
    the batches would be smaller, and cost more.
    """
    known, told = KnownStates(), followers or Followers()
    queues = [CommandQueue(database, wake, known, told) for _ in range(_QUEUES if workers == 1 else 1)]
    running = [asyncio.create_task(unending("a queue of commands", queue.run_forever)) for queue in queues]
    COUNTS.queues.update(queues)
    try:
        yield CommandQueues(queues)
    finally:
        COUNTS.queues.difference_update(queues)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for queue in queues:
            await queue.stop()

"""Group commit: commands that wait at the same time are carried out together, in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, assert_never

import asyncpg
import structlog

from command_api.handle import CommandRequest, LoadError, Outcome, handle
from command_api.idempotency import Done
from command_api.known_states import KnownStates
from command_api.lanes import Kind, Lanes
from command_api.taken import Taken
from command_api.waiting import BATCH, BATCH_TEXT, Waiting
from domain.decide import CommandError
from event_log.append import Refused
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake

_QUEUES: Final = 2
"""The number of queues in a process, and so of batches in progress at a time."""

_ATTEMPTS: Final = 20
"""How many times a command is decided again after a conflict."""

_LIGHT: Final = 64 * 1024
"""Bytes: with more data a task or a command is heavy. It is carried out in a lane, apart from other users' commands."""

_WAITING: Final = 1000
"""The most commands that wait in one queue."""

_HEAVY_WAITING: Final = 32 * 1024 * 1024
"""The most text of heavy commands that waits in one queue, in characters. Light commands do not count."""

_WAITING_OF_A_USER: Final = _WAITING // 2
_HEAVY_WAITING_OF_A_USER: Final = _HEAVY_WAITING // 2
"""The most of these that one user may take, so that others find room."""

_LONGEST_WAIT_SECONDS: Final = 1.0
"""While the first command in the queue has waited longer than this, in seconds, new commands are refused."""

_PATIENCE: Final = 10.0
"""How long a command waits for its user's stream while another transaction has it locked, in seconds."""

log = structlog.get_logger()


class ConflictError(Exception):
    """Other writers changed the task before every one of this command's attempts."""


class InFlightError(Exception):
    """A request with the same idempotency key has not been answered yet."""


class CommandQueue:
    """A queue of commands that are to be written to the ledger.

    One batch is in progress at a time, and never waits for a lock. If another transaction has locked a user's stream,
    that user's commands are skipped, and come first in the next batch: most often it was the projector, for a moment.
    If the stream is still locked on the second attempt, the user's commands move to a queue of their own, a lane, which
    tries again and again. Heavy commands go into their user's lane at once. So nobody waits for another user.
    """

    def __init__(self, database: Database, wake: Wake, known: KnownStates) -> None:
        self._database = database
        self._wake = wake
        self._known = known
        self._waiting: deque[Waiting] = deque()
        self._passed_over: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._places = Taken()
        self._heavy_text = Taken()
        self._keys: set[tuple[str, str]] = set()
        self._lanes = Lanes(self._carry_out)

    async def execute(self, request: CommandRequest) -> Done:
        """Carry a command out; return the task's state after it, which is committed, and the receipt.

        Raises:
            CommandError: the task's state does not allow it, or the request's own conditions do not hold.
            ConflictError: too many other writers.
            InFlightError: a request with the same idempotency key is being carried out.
            UnavailableError: the database cannot answer, or too many commands wait already.
        """
        loop, user_id = asyncio.get_running_loop(), request.user_id
        size = request.size
        heavy = size if size > _LIGHT else 0
        self._check_room(user_id, heavy)
        waiting = Waiting(request=request, result=loop.create_future(), deadline=loop.time() + _PATIENCE, size=size)
        key = request.idempotency_key and (request.user_id, request.idempotency_key.key)
        if key in self._keys:
            raise InFlightError
        if key:
            self._keys.add(key)
            waiting.result.add_done_callback(lambda _: self._keys.discard(key))
        self._places.take(user_id, 1)
        if heavy:
            self._heavy_text.take(user_id, heavy)
        try:
            if heavy:
                self._lanes.open(user_id, Kind.HEAVY).append(waiting)
            else:
                self._enter(waiting)
            return await waiting.result
        finally:
            self._places.give_back(user_id, 1)
            if heavy:
                self._heavy_text.give_back(user_id, heavy)

    def _check_room(self, user_id: str, heavy: int) -> None:
        now = asyncio.get_running_loop().time()
        late = self._waiting and now - self._waiting[0].deadline > _LONGEST_WAIT_SECONDS - _PATIENCE
        if late or not self._places.leaves_room(user_id, 1, most=_WAITING, most_of_a_user=_WAITING_OF_A_USER):
            raise UnavailableError("too many commands are waiting")
        if heavy and not self._heavy_text.leaves_room(
            user_id, heavy, most=_HEAVY_WAITING, most_of_a_user=_HEAVY_WAITING_OF_A_USER
        ):
            raise UnavailableError("too much text is waiting")

    async def run_forever(self) -> None:
        """Take batches of commands from the queue and carry them out, for ever."""
        while True:
            await self._arrived.wait()
            batch, self._passed_over = self._passed_over, []
            text = sum(waiting.size for waiting in batch)
            while self._waiting and len(batch) < BATCH and text < BATCH_TEXT:
                waiting = self._waiting.popleft()
                lane = self._lanes.of(waiting.request.user_id)  # it may have been opened after this command came
                (batch if lane is None else lane).append(waiting)
                text += waiting.size
            if not self._waiting:
                self._arrived.clear()
            await self._carry_out(batch, light=_LIGHT)

    def _enter(self, waiting: Waiting) -> None:
        """Queue a command, behind its user's others."""
        lane = self._lanes.of(waiting.request.user_id)
        if lane is not None:
            lane.append(waiting)
        else:
            self._waiting.append(waiting)
            self._arrived.set()

    async def _carry_out(self, batch: Sequence[Waiting], *, light: int | None = None) -> None:
        batch = [waiting for waiting in batch if not waiting.result.cancelled()]
        if not batch:
            return
        try:
            outcomes = await handle(self._database, self._known, [waiting.request for waiting in batch], light=light)
        except (LoadError, asyncpg.PostgresError) as error:
            await self._carry_out_apart(batch, error, light=light)
        except Exception as error:  # noqa: BLE001 - every command of the batch gets the error
            for waiting in batch:
                waiting.fail(error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                self._settle(waiting, outcome)
            self._wake.notify({waiting.request.user_id for waiting in batch})

    async def _carry_out_apart(self, batch: Sequence[Waiting], error: Exception, *, light: int | None) -> None:
        """Carry out the halves of a batch that was rolled back, so that only the command with the error fails."""
        if len(batch) == 1:
            cause = error.__cause__ if isinstance(error, LoadError) else error
            batch[0].fail(cause if isinstance(cause, Exception) else error)
            return
        log.warning("a batch of commands failed, its halves are tried", error=type(error).__name__)
        middle = len(batch) // 2
        await self._carry_out(batch[:middle], light=light)
        await self._carry_out(batch[middle:], light=light)

    def _settle(self, waiting: Waiting, outcome: Outcome) -> None:
        match outcome:
            case Done():
                waiting.succeed(outcome)
            case CommandError():
                waiting.fail(outcome)
            case Refused.BUSY:
                self._pass_over(waiting)
            case Refused.HEAVY:
                self._lanes.open(waiting.request.user_id, Kind.HEAVY).append(waiting)
            case Refused.CONFLICT | Refused.REPEATED:
                self._decide_anew(waiting)
            case _:  # pragma: no cover
                assert_never(outcome)

    def _pass_over(self, waiting: Waiting) -> None:
        if asyncio.get_running_loop().time() > waiting.deadline:
            waiting.fail(UnavailableError("the stream is held by another transaction"))
        elif waiting.passed_over or self._lanes.of(waiting.request.user_id) is not None:
            self._lanes.open(waiting.request.user_id, Kind.HELD).append(waiting)
        else:
            waiting.passed_over = True
            self._passed_over.append(waiting)
            self._arrived.set()

    def _decide_anew(self, waiting: Waiting) -> None:
        if waiting.attempts >= _ATTEMPTS:
            waiting.fail(ConflictError())
            return
        waiting.attempts += 1
        waiting.request = replace(waiting.request, reload=True)
        self._enter(waiting)

    async def stop(self) -> None:
        """Stop the lanes; commands still queued there get no answer."""
        await self._lanes.stop()


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


@asynccontextmanager
async def command_queues(database: Database, wake: Wake) -> AsyncIterator[CommandQueues]:
    """Run the queues while the service runs."""
    known = KnownStates()
    queues = [CommandQueue(database, wake, known) for _ in range(_QUEUES)]
    running = [asyncio.create_task(queue.run_forever()) for queue in queues]
    try:
        yield CommandQueues(queues)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for queue in queues:
            await queue.stop()

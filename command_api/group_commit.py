"""Group commit: the commands that wait at the same time are carried out together, in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import asyncpg
import structlog

from command_api.handle import CommandRequest, LoadError, Outcome, handle
from command_api.known_states import KnownStates
from domain.decide import CommandError
from domain.task import TaskState
from event_log.append import Refused
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake

_QUEUES: Final = 2
_BATCH: Final = 200
_ATTEMPTS: Final = 20
_WAITING: Final = 1000
_LANES_AT_WORK: Final = 2
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
_LONGEST_QUEUE: Final = 1.0
"""Seconds: while the first in the queue has waited longer, nobody new is let in."""

_PATIENCE: Final = 10.0
"""Seconds that a command waits for its user's stream when another transaction holds it."""

log = structlog.get_logger()


class ConflictError(Exception):
    """Other writers of the task were faster every time, as often as is tried."""


class InFlightError(Exception):
    """A request with the same idempotency key has not been answered yet."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiting:
    request: CommandRequest
    result: asyncio.Future[TaskState]
    deadline: float
    attempts: int = 0
    passed_over: bool = False


class CommandQueue:
    """Commands on their way into the ledger.

    One batch is under way at a time, and never waits for a lock. A user whose stream another transaction holds is
    passed over, and first in the next batch: most often it was the projector, for a moment. Whose stream is held then
    too is taken out into a lane of its own, which tries again and again, so that nobody else has to wait.
    """

    def __init__(self, database: Database, wake: Wake, known: KnownStates) -> None:
        self._database = database
        self._wake = wake
        self._known = known
        self._waiting: deque[_Waiting] = deque()
        self._passed_over: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._commands = 0
        self._keys: set[tuple[str, str]] = set()
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._lanes_at_work = asyncio.Semaphore(_LANES_AT_WORK)

    async def execute(self, request: CommandRequest) -> TaskState:
        """Carry a command out; the task's state after it, committed.

        Raises:
            CommandError: the task's state does not allow it, or the request's own conditions do not hold.
            ConflictError: too many other writers.
            InFlightError: a request with the same idempotency key is being carried out.
            UnavailableError: the database cannot answer, or too many commands wait already.
        """
        loop = asyncio.get_running_loop()
        late = self._waiting and loop.time() - self._waiting[0].deadline > _LONGEST_QUEUE - _PATIENCE
        if late or self._commands >= _WAITING:
            raise UnavailableError("too many commands are waiting")
        waiting = _Waiting(request=request, result=loop.create_future(), deadline=loop.time() + _PATIENCE)
        key = request.once and (request.user_id, request.once.key)
        if key in self._keys:
            raise InFlightError
        if key:
            self._keys.add(key)
            waiting.result.add_done_callback(lambda _: self._keys.discard(key))
        self._commands += 1
        try:
            self._enter(waiting)
            return await waiting.result
        finally:
            self._commands -= 1

    async def run_forever(self) -> None:
        """Take what waits, carry it out, again and again."""
        while True:
            await self._arrived.wait()
            batch, self._passed_over = self._passed_over, []
            while self._waiting and len(batch) < _BATCH:
                waiting = self._waiting.popleft()
                lane = self._lanes.get(waiting.request.user_id)  # begun since it came: it is behind those
                (batch if lane is None else lane).append(waiting)
            if not self._waiting:
                self._arrived.clear()
            await self._carry_out(batch)

    def _enter(self, waiting: _Waiting) -> None:
        lane = self._lanes.get(waiting.request.user_id)
        if lane is not None:
            lane.append(waiting)
        else:
            self._waiting.append(waiting)
            self._arrived.set()

    async def _carry_out(self, batch: Sequence[_Waiting]) -> None:
        batch = [waiting for waiting in batch if not waiting.result.cancelled()]
        if not batch:
            return
        try:
            outcomes = await handle(self._database, self._known, [waiting.request for waiting in batch])
        except (LoadError, asyncpg.PostgresError) as error:
            await self._carry_out_apart(batch, error)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            for waiting in batch:
                _fail(waiting, error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                self._settle(waiting, outcome)
            self._wake.notify()

    async def _carry_out_apart(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Let one command's error fail it alone; the batch that it failed has not happened."""
        if len(batch) == 1:
            cause = error.__cause__ if isinstance(error, LoadError) else error
            _fail(batch[0], cause if isinstance(cause, Exception) else error)
            return
        log.warning("a batch of commands failed, they are tried one by one", error=type(error).__name__)
        for waiting in batch:
            await self._carry_out([waiting])

    def _settle(self, waiting: _Waiting, outcome: Outcome) -> None:
        if isinstance(outcome, CommandError):
            _fail(waiting, outcome)
        elif not isinstance(outcome, Refused):
            if not waiting.result.done():
                waiting.result.set_result(outcome)
        elif outcome is Refused.BUSY and asyncio.get_running_loop().time() > waiting.deadline:
            _fail(waiting, UnavailableError("the stream is held by another transaction"))
        elif outcome is not Refused.BUSY and waiting.attempts >= _ATTEMPTS:
            _fail(waiting, ConflictError())
        elif outcome is Refused.BUSY:
            self._try_later(waiting)
        else:
            waiting.attempts += 1
            waiting.request = replace(waiting.request, reload=True)
            self._enter(waiting)

    def _try_later(self, waiting: _Waiting) -> None:
        user_id = waiting.request.user_id
        if user_id not in self._lanes and not waiting.passed_over:
            waiting.passed_over = True
            self._passed_over.append(waiting)
            self._arrived.set()
            return
        if user_id not in self._lanes:
            self._lanes[user_id] = deque()
            task = asyncio.create_task(self._run_lane(user_id))
            self._lane_tasks.add(task)
            task.add_done_callback(self._lane_tasks.discard)
        self._enter(waiting)

    async def _run_lane(self, user_id: str) -> None:
        """Try one user's commands until none is left; a pause holds no connection, however many lanes there are."""
        lane, pause = self._lanes[user_id], _FIRST_PAUSE
        while lane:
            await asyncio.sleep(pause)
            batch = [lane.popleft() for _ in range(min(_BATCH, len(lane)))]
            async with self._lanes_at_work:
                await self._carry_out(batch)
            pause = min(2 * pause, _LONGEST_PAUSE) if batch[0] in lane else _FIRST_PAUSE
        del self._lanes[user_id]

    async def stop(self) -> None:
        """Give up the lanes; who still waits in one is not answered any more."""
        for task in self._lane_tasks:
            task.cancel()
        await asyncio.gather(*self._lane_tasks, return_exceptions=True)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.result.done():
        waiting.result.set_exception(error)


class CommandQueues:
    """As many queues as batches are under way at a time: while Postgres works on one, the other is decided.

    All of a user's commands are in the same one, so they stay in order, and no batch meets a stream that another holds.
    """

    def __init__(self, queues: Sequence[CommandQueue]) -> None:
        self._queues = queues

    def of(self, user_id: str) -> CommandQueue:
        """The queue of a user's commands."""
        return self._queues[hash(user_id) % len(self._queues)]

    async def execute(self, request: CommandRequest) -> TaskState:
        """Carry a command out, as `CommandQueue.execute` says."""
        return await self.of(request.user_id).execute(request)


@asynccontextmanager
async def command_queues(database: Database, wake: Wake) -> AsyncIterator[CommandQueues]:
    """Running queues for the time of a service."""
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

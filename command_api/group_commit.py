"""Group commit: commands that wait at the same time are carried out together, in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, assert_never

import asyncpg
import structlog

from command_api.handle import CommandRequest, LoadError, Outcome, handle
from command_api.known_states import KnownStates
from command_api.taken import Taken
from domain.decide import CommandError
from domain.task import DeletedTask, NoTask, Task, TaskState
from event_log.append import Refused
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake

_QUEUES: Final = 2
"""The number of queues in a process, and so of batches in progress at a time."""

_ATTEMPTS: Final = 20
"""How many times a command is decided again after a conflict."""

_LANES_AT_WORK: Final = 2
"""The most lanes of a queue that work on a batch at the same time."""

_BATCH: Final = 200
"""The most commands in one batch."""

_BATCH_TEXT: Final = 1024 * 1024
"""A batch takes no further command once it has this much text, in characters."""

_LIGHT: Final = 64 * 1024
"""Bytes: with more data a task or a command is heavy. It is carried out in a lane, apart from other users' commands."""

_HEAVY_TASKS: Final = 8
"""The most tasks in one batch of a lane, because each may hold some megabytes."""

_WAITING: Final = 1000
"""The most commands that wait in one queue."""

_HEAVY_WAITING: Final = 32 * 1024 * 1024
"""The most text of heavy commands that waits in one queue, in characters. Light commands do not count."""

_WAITING_OF_A_USER: Final = _WAITING // 2
_HEAVY_WAITING_OF_A_USER: Final = _HEAVY_WAITING // 2
"""The most of these that one user may take, so that others find room."""

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.05
"""The first and the longest pause between two attempts of a lane, in seconds."""

_LONGEST_WAIT_SECONDS: Final = 1.0
"""While the first command in the queue has waited longer than this, in seconds, new commands are refused."""

_PATIENCE: Final = 10.0
"""How long a command waits for its user's stream while another transaction has it locked, in seconds."""

log = structlog.get_logger()


class ConflictError(Exception):
    """Other writers changed the task before every one of this command's attempts."""


class InFlightError(Exception):
    """A request with the same idempotency key has not been answered yet."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiting:
    request: CommandRequest
    result: asyncio.Future[TaskState]
    deadline: float
    size: int
    attempts: int = 0
    passed_over: bool = False


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
        self._waiting: deque[_Waiting] = deque()
        self._passed_over: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._places = Taken()
        self._heavy_text = Taken()
        self._keys: set[tuple[str, str]] = set()
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._lanes_at_work = asyncio.Semaphore(_LANES_AT_WORK)

    async def execute(self, request: CommandRequest) -> TaskState:
        """Carry a command out; return the task's state after it, which is committed.

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
        waiting = _Waiting(request=request, result=loop.create_future(), deadline=loop.time() + _PATIENCE, size=size)
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
            self._enter(waiting, heavy=bool(heavy))
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
            while self._waiting and len(batch) < _BATCH and text < _BATCH_TEXT:
                waiting = self._waiting.popleft()
                lane = self._lanes.get(
                    waiting.request.user_id
                )  # opened after this command came: queue behind the lane's commands
                (batch if lane is None else lane).append(waiting)
                text += waiting.size
            if not self._waiting:
                self._arrived.clear()
            await self._carry_out(batch, light=_LIGHT)

    def _enter(self, waiting: _Waiting, *, heavy: bool = False) -> None:
        user_id = waiting.request.user_id
        if heavy and user_id not in self._lanes:
            self._open_lane(user_id)
        lane = self._lanes.get(user_id)
        if lane is not None:
            lane.append(waiting)
        else:
            self._waiting.append(waiting)
            self._arrived.set()

    async def _carry_out(self, batch: Sequence[_Waiting], *, light: int | None = None) -> None:
        batch = [waiting for waiting in batch if not waiting.result.cancelled()]
        if not batch:
            return
        try:
            outcomes = await handle(self._database, self._known, [waiting.request for waiting in batch], light=light)
        except (LoadError, asyncpg.PostgresError) as error:
            await self._carry_out_apart(batch, error, light=light)
        except Exception as error:  # noqa: BLE001 - every command of the batch gets the error
            for waiting in batch:
                _fail(waiting, error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                self._settle(waiting, outcome)
            self._wake.notify()

    async def _carry_out_apart(self, batch: Sequence[_Waiting], error: Exception, *, light: int | None) -> None:
        """Carry out the halves of a batch that was rolled back, so that only the command with the error fails."""
        if len(batch) == 1:
            cause = error.__cause__ if isinstance(error, LoadError) else error
            _fail(batch[0], cause if isinstance(cause, Exception) else error)
            return
        log.warning("a batch of commands failed, its halves are tried", error=type(error).__name__)
        middle = len(batch) // 2
        await self._carry_out(batch[:middle], light=light)
        await self._carry_out(batch[middle:], light=light)

    def _settle(self, waiting: _Waiting, outcome: Outcome) -> None:
        match outcome:
            case NoTask() | Task() | DeletedTask():
                if not waiting.result.done():
                    waiting.result.set_result(outcome)
            case CommandError():
                _fail(waiting, outcome)
            case Refused.BUSY:
                self._pass_over(waiting)
            case Refused.HEAVY:
                self._enter(waiting, heavy=True)
            case Refused.CONFLICT | Refused.REPEATED:
                self._decide_anew(waiting)
            case _:  # pragma: no cover
                assert_never(outcome)

    def _pass_over(self, waiting: _Waiting) -> None:
        if asyncio.get_running_loop().time() > waiting.deadline:
            _fail(waiting, UnavailableError("the stream is held by another transaction"))
        elif waiting.request.user_id in self._lanes or waiting.passed_over:
            self._enter(waiting, heavy=True)
        else:
            waiting.passed_over = True
            self._passed_over.append(waiting)
            self._arrived.set()

    def _decide_anew(self, waiting: _Waiting) -> None:
        if waiting.attempts >= _ATTEMPTS:
            _fail(waiting, ConflictError())
            return
        waiting.attempts += 1
        waiting.request = replace(waiting.request, reload=True)
        self._enter(waiting)

    def _open_lane(self, user_id: str) -> None:
        self._lanes[user_id] = deque()
        task = asyncio.create_task(self._run_lane(user_id))
        self._lane_tasks.add(task)
        task.add_done_callback(self._lane_tasks.discard)

    async def _run_lane(self, user_id: str) -> None:
        """Try one user's commands until none is left; during a pause the lane holds no connection."""
        lane, pause = self._lanes[user_id], _FIRST_PAUSE
        while lane:
            await asyncio.sleep(pause)
            batch = _take(lane)
            async with self._lanes_at_work:
                await self._carry_out(batch)
            pause = min(2 * pause, _LONGEST_PAUSE) if batch[0] in lane else _FIRST_PAUSE
        del self._lanes[user_id]

    async def stop(self) -> None:
        """Stop the lanes; commands still queued there get no answer."""
        for task in self._lane_tasks:
            task.cancel()
        await asyncio.gather(*self._lane_tasks, return_exceptions=True)


def _take(lane: deque[_Waiting]) -> list[_Waiting]:
    """Take the next batch out of a lane: at least one command, and no more tasks and text than fit into memory."""
    batch: list[_Waiting] = []
    tasks: set[int | None] = set()
    text = 0
    while lane and len(batch) < _BATCH and len(tasks) < _HEAVY_TASKS and text < _BATCH_TEXT:
        waiting = lane.popleft()
        batch.append(waiting)
        tasks |= {waiting.request.task_id} - {None}
        text += waiting.size
    return batch


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.result.done():
        waiting.result.set_exception(error)


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

    async def execute(self, request: CommandRequest) -> TaskState:
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

"""Group commit: commands that wait at the same time are carried out together, in one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, assert_never

import asyncpg
import structlog

from command_api.counts import COUNTS
from command_api.handle import LoadError, handle
from command_api.idempotency import Done
from command_api.known_states import KnownStates
from command_api.lanes import Kind, Lanes
from command_api.plan import CommandRequest, Outcome
from command_api.room import Room
from command_api.traced import appending, begin_waiting
from command_api.waiting import BATCH, BATCH_TEXT, Result, Results, Waiting
from domain.decide import CommandError
from event_log.append import Refused
from event_log.followers import Followers
from runtime.database import Database, UnavailableError
from runtime.wakeup import Wake

_ATTEMPTS: Final = 20
"""How many times a command is decided again after a conflict."""

_LIGHT: Final = 64 * 1024
"""Bytes: with more data a task or a command is heavy. It is carried out in a lane, apart from other users' commands."""

_LONGEST_WAIT_SECONDS: Final = 1.0
"""While the first command in the queue has waited longer than this, in seconds, new commands are refused."""

_PATIENCE: Final = 10.0
"""How long a command waits for its user's stream while another transaction has it locked, in seconds."""

log = structlog.get_logger()


class ConflictError(Exception):
    """Other writers changed the task before every one of this command's attempts."""


class InFlightError(Exception):
    """A request with the same idempotency key has not been answered yet."""


class NotHereError(CommandError):
    """The user's stream is not in this ledger, so nothing was appended."""


class CommandQueue:
    """A queue of commands that are to be written to the ledger.

    One batch is in progress at a time, and never waits for a lock. If another transaction has locked a user's stream,
    that user's commands are skipped, and come first in the next batch: most often it was the projector, for a moment.
    If the stream is still locked on the second attempt, the user's commands move to a queue of their own, a lane, which
    tries again and again. Heavy commands go into their user's lane at once. So nobody waits for another user.
    """

    def __init__(self, database: Database, wake: Wake, known: KnownStates, followers: Followers) -> None:
        self._database = database
        self._wake = wake
        self._followers = followers
        self._known = known
        self._waiting: deque[Waiting] = deque()
        self._passed_over: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._room = Room()
        self._keys: set[tuple[str, str]] = set()
        self._lanes = Lanes(self._carry_out)

    async def execute(self, request: CommandRequest) -> Done:
        """Carry a command out; return the task's state after it, which is committed, and the receipt.

        Raises:
            CommandError: the task's state does not allow it, or the request's own conditions do not hold.
            ConflictError: too many other writers.
            InFlightError: a request with the same idempotency key is being carried out.
            NotHereError: the user's stream is not in this ledger.
            UnavailableError: the database cannot answer, or too many commands wait already.
        """
        size = request.size
        heavy = self._take_room(request.user_id, 1, size)
        result: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        admitted: list[Waiting] = []
        try:
            self._admit(request, result, size, _deadline(), admitted)
            if admitted:
                self._enter(admitted, heavy=heavy)
            return await result
        finally:
            self._keys.difference_update([key for waiting in admitted if (key := _key(waiting))])
            self._room.give_back(request.user_id, 1, heavy)
            # An error's traceback leads here. If it led back to the error, both would wait for the garbage collector.
            admitted.clear()
            del result

    async def execute_all(self, requests: Sequence[CommandRequest]) -> list[Done | BaseException]:
        """Carry out commands of one user, in order, in one batch unless they are large; return what is done, or errors.

        Raises:
            UnavailableError: too many commands wait already.
        """
        user_id, sizes = requests[0].user_id, [request.size for request in requests]
        heavy = self._take_room(user_id, len(requests), sum(sizes))
        results = Results(len(requests))
        admitted: list[Waiting] = []
        try:
            deadline = _deadline()
            for n, (request, size) in enumerate(zip(requests, sizes, strict=True)):
                self._admit(request, results.of(n), size, deadline, admitted)
            for waiting in admitted[:-1]:
                waiting.and_next = True
            if admitted:
                self._enter(admitted, heavy=heavy)
            return await results.wait()
        finally:
            self._keys.difference_update([key for waiting in admitted if (key := _key(waiting))])
            self._room.give_back(user_id, len(requests), heavy)

    def _take_room(self, user_id: str, commands: int, size: int) -> int:
        """Take room for a user's commands, and return how much of their text counts as heavy."""
        now = asyncio.get_running_loop().time()
        if self._waiting and now - self._waiting[0].deadline > _LONGEST_WAIT_SECONDS - _PATIENCE:
            raise UnavailableError("too many commands are waiting")
        heavy = size if size > _LIGHT else 0
        self._room.take(user_id, commands, heavy)
        return heavy

    def _admit(
        self, request: CommandRequest, result: Result, size: int, deadline: float, admitted: list[Waiting]
    ) -> None:
        """Add a command that waits to `admitted`; if its key is being used, its result is an error."""
        waiting = Waiting(request=request, result=result, deadline=deadline, size=size)
        if (key := _key(waiting)) is not None:
            if key in self._keys:
                waiting.fail(InFlightError())
                return
            self._keys.add(key)
        waiting.trace = begin_waiting()
        admitted.append(waiting)

    async def run_forever(self) -> None:
        """Take batches of commands from the queue and carry them out, for ever."""
        while True:
            await self._arrived.wait()
            await self._carry_out(self._next_batch(), light=_LIGHT)

    def _next_batch(self) -> list[Waiting]:
        batch, self._passed_over = self._passed_over, []
        text = sum(waiting.size for waiting in batch)
        and_next = False
        while self._waiting and (and_next or (len(batch) < BATCH and text < BATCH_TEXT)):
            waiting = self._waiting.popleft()
            lane = self._lanes.of(waiting.request.user_id)  # it may have been opened after this command came
            (batch if lane is None else lane).append(waiting)
            text += waiting.size
            and_next = waiting.and_next
        if not self._waiting:
            self._arrived.clear()
        return batch

    def _enter(self, commands: Sequence[Waiting], *, heavy: int = 0) -> None:
        """Queue commands of one user, behind the user's others; heavy ones in a lane."""
        user_id = commands[0].request.user_id
        lane = self._lanes.open(user_id, Kind.HEAVY) if heavy else self._lanes.of(user_id)
        if lane is not None:
            lane.extend(commands)
        else:
            self._waiting.extend(commands)
            self._arrived.set()

    async def _carry_out(self, batch: Sequence[Waiting], *, light: int | None = None) -> None:
        batch = [waiting for waiting in batch if not waiting.result.cancelled()]
        if not batch:
            return
        try:
            with COUNTS.batch(len(batch)), appending(batch):
                requests = [waiting.request for waiting in batch]
                outcomes = await handle(self._database, self._known, requests, light=light, followers=self._followers)
        except (LoadError, asyncpg.PostgresError) as error:
            await self._carry_out_apart(batch, error, light=light)
        except Exception as error:  # noqa: BLE001 - every command of the batch gets the error
            for waiting in batch:
                waiting.fail(error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                self._settle(waiting, outcome)
            users = {waiting.request.user_id for waiting in batch}
            self._followers.heard(users)
            self._wake.notify(users)

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
            case Refused():
                COUNTS.refused[outcome] += 1
                self._try_again(waiting, outcome)
            case _:  # pragma: no cover
                assert_never(outcome)

    def _try_again(self, waiting: Waiting, refused: Refused) -> None:
        match refused:
            case Refused.BUSY:
                self._pass_over(waiting)
            case Refused.HEAVY:
                self._lanes.open(waiting.request.user_id, Kind.HEAVY).append(waiting)
            case Refused.CONFLICT | Refused.REPEATED:
                self._decide_anew(waiting)
            case Refused.ELSEWHERE:
                waiting.fail(NotHereError())

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
        waiting.request = waiting.request._replace(reload=True)
        waiting.and_next = False
        self._enter([waiting])

    @property
    def lengths(self) -> tuple[int, int]:
        """Return how many commands wait in the queue itself, and in its lanes."""
        return len(self._waiting) + len(self._passed_over), self._lanes.length

    async def stop(self) -> None:
        """Stop the lanes; commands still queued there get no answer."""
        await self._lanes.stop()


def _deadline() -> float:
    return asyncio.get_running_loop().time() + _PATIENCE


def _key(waiting: Waiting) -> tuple[str, str] | None:
    """Return the user and the key of a command, None without a key."""
    request = waiting.request
    return None if request.idempotency_key is None else (request.user_id, request.idempotency_key.key)

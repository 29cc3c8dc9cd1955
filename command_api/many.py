"""Many commands of one user at once: each is its own command, and may be for a task that an earlier one creates.

The ids of tasks that others refer to are asked for in advance, so that all commands go into one append.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from command_api.group_commit import NotHereError
from command_api.idempotency import Done, key_with_digest
from command_api.many_bodies import AnyCommand, Asked, CreateTaskCommand
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues
from command_api.refusals import REFUSALS
from domain.decide import CommandError, TaskExistsError, TaskNotFoundError
from domain.evolve import HistoryError
from domain.task import Task
from edge.errors import UNAVAILABLE, UNREADABLE
from edge.problem_kinds import Kind
from edge.problems import ProblemError, invalid
from event_log.append import Fetching, IdempotencyKey, ids_of_new_tasks
from event_log.codec import UnreadableEventError
from event_log.elsewhere import check_whereabouts
from read_model.sorts import is_bigint
from runtime.database import UnavailableError

Result: TypeAlias = Done | ProblemError

_FAILED: Final = "The command that was to create this task failed"


class Carried(NamedTuple):
    """A command's id, its result, the id of its task, where that was known before, and whether it creates one."""

    id: str
    result: Result
    task_id: int | None
    creates: bool


class Call:
    """The commands of one request, in order, and their results so far."""

    def __init__(self, user_id: str, request_id: str, asked: Sequence[Asked]) -> None:
        """Find out which command each ref means; what is wrong with a command by itself is its result."""
        self._user_id = user_id
        self._request_id = request_id
        self._asked = asked
        self._commands: dict[int, AnyCommand] = {}
        """The commands that can be tried."""
        self._creators: dict[int, int] = {}
        """For each command that refers to a new task, the index of the command that creates it."""
        self._ids: dict[int, int] = {}
        """The ids of new tasks, by the index of their commands; empty unless a command refers to a new task."""
        self._results: dict[int, Result] = {}
        self._failed = False
        """Whether a command failed that would also fail if the user were not here."""
        refs: dict[str, int] = {}
        for n, one in enumerate(asked):
            self._look_at(n, one, refs)

    def _look_at(self, n: int, one: Asked, refs: dict[str, int]) -> None:
        if one.ref is not None and refs.setdefault(one.ref, n) != n:
            self._results[n] = invalid("ref", "is the ref of an earlier command")
            return
        if isinstance(one.read, ProblemError):
            self._results[n] = one.read
            return
        task = one.read.task
        if isinstance(task, str):
            if (creator := refs.get(task)) is None:
                self._results[n] = invalid("task", "is the ref of no earlier command")
                return
            self._creators[n] = creator
        elif task is not None and not is_bigint(task):
            self._results[n] = _not_found(task)
            return
        self._commands[n] = one.read

    async def carry_out(self, database: Fetching, queues: CommandQueues) -> list[Carried]:
        """Carry the commands out; return the result of each, in order.

        Raises:
            ElsewhereError, ArrivingError: the user is not here; those that were carried out before can be repeated.
            UnavailableError: the database cannot answer, or too many commands wait already.
        """
        creators = self._new_tasks()
        if creators:
            ids = await ids_of_new_tasks(database, self._user_id, [self._key_of_new(n) for n in creators])
            self._ids = dict(zip(creators, ids, strict=True))
        await self._execute(queues, [n for n in self._commands if self._creators.get(n, n) in self._commands])
        await self._follow_moved(queues)
        if self._failed:
            await check_whereabouts(database, self._user_id)
        for n, creator in self._creators.items():
            if isinstance(self._results[creator], ProblemError) and not isinstance(self._results.get(n), Done):
                self._results[n] = ProblemError(Kind.FAILED_REFERENCE, _FAILED)
        return [self._carried(n) for n in range(len(self._asked))]

    def _new_tasks(self) -> list[int]:
        """Return the indexes of all commands that create tasks, if one is referred to: lists are in order of ids."""
        if not any(creator in self._commands for creator in self._creators.values()):
            return []
        return [n for n, command in self._commands.items() if isinstance(command, CreateTaskCommand)]

    def _carried(self, n: int) -> Carried:
        creates = isinstance(self._asked[n].read, CreateTaskCommand)
        return Carried(self._asked[n].id, self._results[n], self._task_id(n), creates)

    async def _follow_moved(self, queues: CommandQueues) -> None:
        """Repeat commands whose new task has another id: another process carried out the same call meanwhile."""
        moved: dict[int, int] = {}
        for n, supposed in self._ids.items():
            result = self._results[n]
            if isinstance(result, Done) and isinstance(result.state, Task) and result.state.id != supposed:
                moved[n] = self._ids[n] = result.state.id
        if behind := [n for n, creator in self._creators.items() if creator in moved and n in self._commands]:
            await self._execute(queues, behind)

    async def _execute(self, queues: CommandQueues, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        outcomes = await queues.execute_all([self._request(n) for n in numbers])
        if all(isinstance(outcome, UnavailableError) for outcome in outcomes):
            raise UnavailableError
        self._failed |= any(isinstance(outcome, CommandError) for outcome in outcomes)
        for n, outcome in zip(numbers, outcomes, strict=True):
            self._results[n] = outcome if isinstance(outcome, Done) else _problem(outcome, self._task_id(n))

    def _request(self, n: int) -> CommandRequest:
        """Return a command as a request of its own, with the same key as such a request has."""
        one, task_id = self._commands[n], self._task_id(n)
        command = one.command()
        versions = None if one.if_match is None else frozenset({one.if_match})
        named = None if isinstance(one, CreateTaskCommand) else task_id
        key = key_with_digest(one.id, named, command, versions)
        return CommandRequest(self._user_id, task_id, command, self._request_id, versions, key)

    def _task_id(self, n: int) -> int | None:
        """Return the id of a command's task, None for a new one that nobody refers to."""
        task = self._commands[n].task if n in self._commands else None
        return task if isinstance(task, int) else self._ids.get(self._creators.get(n, n))

    def _key_of_new(self, n: int) -> IdempotencyKey:
        key = self._request(n).idempotency_key
        assert key is not None
        return key


def _not_found(task_id: int | None) -> ProblemError:
    return ProblemError(Kind.TASK_NOT_FOUND, f"Task {task_id} not found")


def _problem(error: BaseException, task_id: int | None) -> ProblemError:
    """Return the problem of a command that failed.

    Raises:
        BaseException: it is no error of a command.
    """
    if isinstance(error, TaskNotFoundError):
        return _not_found(task_id)
    if isinstance(error, UnavailableError | TaskExistsError | NotHereError):
        # An erasure may remove a key although the id of its task stays in use: the next try gets a new id.
        return ProblemError(Kind.UNAVAILABLE, UNAVAILABLE)
    if isinstance(error, HistoryError | UnreadableEventError):
        return ProblemError(Kind.UNREADABLE_EVENT, UNREADABLE)
    for kind, refusal in REFUSALS.items():
        if isinstance(error, kind):
            return ProblemError(*refusal)
    raise error

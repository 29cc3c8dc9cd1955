"""Undo: find what takes a command back, and carry that out, unless its task changes in between; then find it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from command_api.group_commit import ConflictError
from command_api.idempotency import Done, repeated
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues
from domain.commands import UndoCommand
from domain.decide import CommandError, OutdatedError
from domain.task import DeletedTask, NoTask, Task, TaskState
from domain.undo import CannotUndoError, Effect, Step, commands, inverse, newest_to_undo
from event_log.append import Fetching, IdempotencyKey
from event_log.changes import EventAt, event_at, steps_of_task, steps_of_user, undo_at
from event_log.read import known_tasks
from event_log.receipt import Receipt

MOST_CHANGES: Final = 10_000
"""How many events back an undo looks, of its task or for the newest change of the user."""
_FEW: Final = 100
"""How many events it looks at first."""
_ATTEMPTS: Final = 20


class NoPositionError(CommandError):
    """The user's history has no such position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoRequest:
    """A request to undo what was done at a position, or for None the newest change that is not undone yet."""

    user_id: str
    position: int | None
    request_id: str
    if_match: frozenset[int] | None = None
    idempotency_key: IdempotencyKey | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """What was undone, the user's position after it, the state of its task, and the receipt."""

    undone: int
    position: int
    state: Task | DeletedTask
    receipt: Receipt | None


async def undo(database: Fetching, queues: CommandQueues, request: UndoRequest) -> Undone:
    """Undo; the answer is committed.

    Raises:
        CannotUndoError: later changes stand in between, it is undone already, or there is nothing to undo.
        NoPositionError: the user's history has no such position.
        ConflictError: too many other writers; and what CommandQueue.execute raises.
    """
    for _ in range(_ATTEMPTS):
        position = request.position
        try:
            if position is None:
                position = await _newest(database, request.user_id)
            task_id, command = await _found(database, request.user_id, position)
        except CommandError:
            # Read after the changes, so that an undo that stands among them is also found by its key.
            done = await _repeated(database, request)
            if done is None and not await _is_overtaken(database, request, position):
                raise
        else:
            done = await _carried_out(queues, request, task_id, command)
        if done is not None:
            return await _answer(database, request.user_id, done)
    raise ConflictError


async def _is_overtaken(database: Fetching, request: UndoRequest, position: int | None) -> bool:
    """Return whether another undo was faster with what was the newest change."""
    if request.position is not None or position is None:
        return False
    return await _newest(database, request.user_id) != position


async def _carried_out(queues: CommandQueues, request: UndoRequest, task_id: int, command: UndoCommand) -> Done | None:
    """Return the task after the command, or None if it has changed since the command was found."""
    try:
        return await queues.execute(
            CommandRequest(
                user_id=request.user_id,
                task_id=task_id,
                command=command,
                request_id=request.request_id,
                if_match=request.if_match,
                idempotency_key=request.idempotency_key,
            )
        )
    except OutdatedError:
        return None


async def _repeated(database: Fetching, request: UndoRequest) -> Done | None:
    """Return the answer to the same request before, if there was one."""
    if request.idempotency_key is None:
        return None
    answers = await repeated(database, [(request.user_id, request.idempotency_key)])
    answer = answers.get((request.user_id, request.idempotency_key.key))
    if isinstance(answer, CommandError):
        raise answer
    return answer  # type: ignore[return-value] # without a limit of bytes, no task is heavy


async def _found(database: Fetching, user_id: str, position: int) -> tuple[int, UndoCommand]:
    """Return the task of what was done at a position, and the command that undoes it."""
    event = await event_at(database, user_id, position)
    task_id = _checked(event, position)
    assert event is not None
    done = list(commands(await _steps_since(database, user_id, task_id, event.version)))
    target = next((command for command in done if command.before < event.version <= command.version), None)
    if target is None:
        reason = f"The task has changed more than {MOST_CHANGES:,} times since position {position}"
        raise CannotUndoError(reason, [done[0].position])
    key = (user_id, task_id)
    before, now = await _states(database, key, target, done[0].version)
    later = done[: done.index(target)]
    return task_id, UndoCommand(
        undoes=target.position, version=done[0].version, inverse=inverse(target, later, before, now)
    )


async def _steps_since(database: Fetching, user_id: str, task_id: int, version: int) -> Sequence[Step]:
    """Return a task's events, newest first, down to the one before `version`, which may belong to the same command.

    If there are more than MOST_CHANGES, return only the newest few.
    """
    after, few = version - 2, min(_FEW, MOST_CHANGES)
    steps = await steps_of_task(database, user_id, task_id, after=after, at_most=few)
    if len(steps) == few and steps[0].version - version < MOST_CHANGES:
        return await steps_of_task(database, user_id, task_id, after=after, at_most=MOST_CHANGES)
    return steps


def _checked(event: EventAt | None, position: int) -> int:
    """Return the task of an event whose change can be taken back, as far as the event tells."""
    if event is None:
        raise NoPositionError(position)
    if position <= event.erased:
        raise CannotUndoError(f"What was done up to position {event.erased} is erased", [event.erased])
    assert event.task_id is not None, "only an erasure has no task"
    return event.task_id


async def _states(
    database: Fetching, key: tuple[str, int], target: Effect, version: int
) -> tuple[TaskState, TaskState]:
    """Return a task's states before the target and at a version; version 0 is that of no task."""
    asked = [(key, number) for number in (target.before, version) if number]
    found = [known.state for known in await known_tasks(database, asked) if known is not None]
    return (found[0], found[1]) if target.before else (NoTask(), found[0])


async def _newest(database: Fetching, user_id: str) -> int:
    """Return the position of the user's newest command that is to be undone."""
    for most in (_FEW, MOST_CHANGES):
        steps = await steps_of_user(database, user_id, at_most=most)
        if (newest := newest_to_undo(commands(steps))) is not None:
            return newest.position
        if len(steps) < most:
            break
    raise CannotUndoError("There is nothing left to undo")


async def _answer(database: Fetching, user_id: str, done: Done) -> Undone:
    state = done.state
    assert not isinstance(state, NoTask), "what is undone has a task"
    found = await undo_at(database, user_id, state.id, state.version)
    return Undone(undone=found.undoes, position=found.position, state=state, receipt=done.receipt)

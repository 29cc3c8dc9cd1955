"""Plans and settles a batch of commands: pure functions on values, between which handle.py appends the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from command_api.idempotency import Answer, Done
from domain.commands import Command, UndoCommand
from domain.decide import CommandError, decide
from domain.events import Recorded, TaskEvent
from domain.evolve import fold
from domain.fields import Changes, Fields, field_values
from event_log.append import Append, Appended, IdempotencyKey, Refused
from event_log.read import NOTHING_KNOWN, Known, TaskKey

_WITH_TEXT: Final = (Fields, Changes)
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


class CommandRequest(NamedTuple):
    """A command for one task of a user, or for a new one, whose id may have been asked for in advance.

    `if_match` holds the versions that the task may have. With an `idempotency_key` the command is carried out only
    once. `reload` is True after the cached state of the task proved to be old. `traceparent` names the span of
    its append.
    """

    user_id: str
    task_id: int | None
    command: Command
    request_id: str
    if_match: frozenset[int] | None = None
    idempotency_key: IdempotencyKey | None = None
    reload: bool = False
    traceparent: str | None = None

    @property
    def size(self) -> int:
        """How many characters of text the command carries."""
        command = self.command.inverse if isinstance(self.command, UndoCommand) else self.command
        if not isinstance(command, _WITH_TEXT):
            return 0
        size = 0
        for value in field_values(command):
            if isinstance(value, str):
                size += len(value)
            elif isinstance(value, tuple):
                size += sum([len(text) for text in value])
        return size


class StaleError(CommandError):
    """The task has none of the versions that the request requires."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What a batch is decided on.

    The states in `tasks` may be old, except those in `fresh`, which were just read from the ledger. `heavy` are tasks
    that are too large for this batch. `answers` holds the answers of repeated commands, by user and key.
    """

    tasks: Mapping[TaskKey, Known]
    fresh: frozenset[TaskKey]
    heavy: frozenset[TaskKey]
    answers: Mapping[tuple[str, str], Answer]


class Decision(NamedTuple):
    """The events of a request, if its task is at `expected_version`, and what to append."""

    expected_version: int
    events: tuple[TaskEvent, ...]
    append: Append | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """A request that was carried out before, with its outcome."""

    outcome: Done | CommandError


Plan: TypeAlias = Decision | Repeated | CommandError | Refused
Outcome: TypeAlias = Done | CommandError | Refused


def plan(requests: Sequence[CommandRequest], loaded: Loaded) -> list[Plan]:
    """Decide in order, each request on the result of the ones before it."""
    tasks = dict(loaded.tasks)
    ahead: dict[TaskKey, Decision] = {}
    plans: list[Plan] = []
    for request in requests:
        key = (request.user_id, request.task_id or 0)
        if key in loaded.heavy:
            plans.append(Refused.HEAVY)
            continue
        if (before := ahead.pop(key, None)) is not None:
            tasks[key] = _foreseen(tasks.get(key, NOTHING_KNOWN), key[1], before)
        decided = _decide(request, tasks.get(key, NOTHING_KNOWN), loaded)
        plans.append(decided)
        if isinstance(decided, Decision) and decided.events and request.task_id is not None:
            ahead[key] = decided
    return plans


def _foreseen(task: Known, task_id: int, decided: Decision) -> Known:
    """Return the task after a decision, for the next one: no decision depends on a position or a time.

    The append that the next decision leads to needs no event id: the append before it proves the state.
    """
    recorded = (
        Recorded(event=event, task_id=task_id, position=0, version=version, recorded_at=_NO_TIME)
        for version, event in enumerate(decided.events, start=decided.expected_version + 1)
    )
    return Known(fold(task.state, recorded))


def _decide(request: CommandRequest, task: Known, loaded: Loaded) -> Plan:
    if (
        request.idempotency_key
        and (outcome := loaded.answers.get((request.user_id, request.idempotency_key.key))) is not None
    ):
        return outcome if isinstance(outcome, Refused) else Repeated(outcome=outcome)
    try:
        events = decide(request.command, task.state)
    except CommandError as error:
        return error.with_traceback(None)  # it would hold the whole batch, and this its error
    if request.if_match is not None and task.state.version not in request.if_match:
        return StaleError()
    appended = _append(request, task, events) if events or request.idempotency_key is not None else None
    return Decision(expected_version=task.state.version, events=events, append=appended)


def _append(request: CommandRequest, task: Known, events: tuple[TaskEvent, ...]) -> Append:
    undoes = request.command.undoes if isinstance(request.command, UndoCommand) else None
    return Append(  # by place, as names take twice the time
        request.user_id,
        request.task_id,
        task.state.version,
        events,
        request.user_id,
        request.request_id,
        request.idempotency_key,
        task.event_id,
        undoes,
        request.traceparent,
    )


def settle(
    requests: Sequence[CommandRequest],
    plans: Sequence[Plan],
    results: Sequence[Appended | Refused],
    loaded: Loaded,
) -> tuple[list[Outcome], dict[TaskKey, Known]]:
    """Return each request's outcome, and the proved states of their tasks.

    `results` are those of the plans' appends, in order. A cached state may be old. An append proves it, because it
    checks the task's last event; without an append, only a state that was just read is proved.
    """
    tasks = dict(loaded.tasks)
    proved = {key: tasks[key] for key in loaded.fresh if key in tasks}
    refused: dict[TaskKey, Refused] = {}
    outcomes: list[Outcome] = []
    appended = iter(results)
    for request, decided in zip(requests, plans, strict=True):
        key = (request.user_id, request.task_id or 0)
        result = next(appended) if isinstance(decided, Decision) and decided.append else None
        if isinstance(result, Appended):
            task = _after(tasks.get(key, NOTHING_KNOWN), result)
            if request.task_id is not None:
                tasks[key] = proved[key] = task
            outcomes.append(Done(task.state, result.receipt))
            continue
        if isinstance(result, Refused):
            refused[key] = result
        outcomes.append(result or _without_append(request, decided, tasks, refused.get(key), is_proved=key in proved))
    return outcomes, proved


def _after(task: Known, appended: Appended) -> Known:
    events = appended.events
    if not events:
        return task._replace(head=appended.receipt)
    return Known(fold(task.state, events), events[-1].event_id, appended.receipt)


def _without_append(
    request: CommandRequest,
    decided: Plan,
    tasks: Mapping[TaskKey, Known],
    refused: Refused | None,
    *,
    is_proved: bool,
) -> Outcome:
    """Return the outcome of a request that appended nothing; `refused` is the refusal of an earlier one on its task."""
    if isinstance(decided, Repeated):
        return decided.outcome
    if isinstance(decided, Refused):
        return decided
    if request.task_id is None and isinstance(decided, CommandError):
        return decided  # a new task has no cached state
    if refused is not None:
        return refused
    if not is_proved:
        return Refused.CONFLICT
    return decided if isinstance(decided, CommandError) else _unchanged(tasks[request.user_id, request.task_id or 0])


def _unchanged(task: Known) -> Done:
    return Done(task.state, task.head)

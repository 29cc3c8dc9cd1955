"""Carry commands out: load, fold, decide, append; many at once, each on the result of the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from command_api.idempotency import repeated
from command_api.known_states import KnownStates
from domain.commands import Command
from domain.decide import CommandError, decide
from domain.events import Recorded, TaskEvent
from domain.evolve import HistoryError, fold
from domain.task import NoTask, TaskState
from event_log.append import Append, Fetching, Once, Refused, append
from event_log.codec import UnreadableEventError
from event_log.read import TaskKey, task_events


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRequest:
    """A command for one task of a user, or for a new one.

    `if_match` holds the versions that the task may have, `once` makes the command happen once; `reload` is set once
    what was known of the task proved old.
    """

    user_id: str
    task_id: int | None
    command: Command
    request_id: str
    if_match: frozenset[int] | None = None
    once: Once | None = None
    reload: bool = False


class StaleError(CommandError):
    """The task is at none of the versions that the request is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The events that a request leads to when its task is at `expected_version`."""

    expected_version: int
    events: tuple[TaskEvent, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """A request that was carried out before, with what came of it."""

    outcome: TaskState | CommandError


Decided: TypeAlias = Decision | Repeated | CommandError
Outcome: TypeAlias = TaskState | CommandError | Refused

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


class LoadError(Exception):
    """The events of a task cannot be followed, as the cause says; nothing was decided or appended."""


async def handle(database: Fetching, known: KnownStates, requests: Sequence[CommandRequest]) -> list[Outcome]:
    """Try each of `requests` once, in order: the task after it, why it cannot be, or that it has to be tried again.

    A task that comes back is committed. What is known of a task may be old, so it is proved: by the append, which
    expects its version, or where there is nothing to append by having been loaded just now.

    Raises:
        LoadError, asyncpg.PostgresError: none of `requests` was carried out.
        UnavailableError: they may or may not have been.
    """
    try:
        states, proved = await _load(database, known, requests)
        # After the states: a command that shows in them shows here.
        before = await repeated(database, [(request.user_id, request.once) for request in requests if request.once])
    except (HistoryError, UnreadableEventError) as error:
        raise LoadError from error
    decisions = _decide_all(requests, states, before)
    appends = {
        n: _append(request, decision)
        for n, (request, decision) in enumerate(zip(requests, decisions, strict=True))
        if isinstance(decision, Decision) and (decision.events or request.once is not None)
    }
    results = await append(database, [*appends.values()]) if appends else []
    outcomes = list(_settle(requests, decisions, dict(zip(appends, results, strict=True)), states, proved))
    for key in proved:
        known.keep(key, states[key])
    return outcomes


async def _load(
    database: Fetching, known: KnownStates, requests: Sequence[CommandRequest]
) -> tuple[dict[TaskKey, TaskState], set[TaskKey]]:
    """The state of each task, and those that were read from the ledger just now."""
    states: dict[TaskKey, TaskState] = {}
    loaded: set[TaskKey] = set()
    # Not on what proved wrong: a ledger that was restored, or failed over, may be behind what is known.
    anew = {(request.user_id, request.task_id) for request in requests if request.reload}
    for request in requests:
        if request.task_id is not None:
            key = (request.user_id, request.task_id)
            state = None if key in anew else known.get(key)
            states[key] = state or NoTask()
            if state is None:
                loaded.add(key)
    if loaded:
        histories = await task_events(database, {key: states[key].version for key in loaded})
        states.update({key: fold(states[key], history) for key, history in histories.items()})
    return states, loaded


def _decide_all(
    requests: Sequence[CommandRequest],
    known: Mapping[TaskKey, TaskState],
    before: Mapping[tuple[str, str], TaskState | CommandError],
) -> list[Decided]:
    """Decide in order, each on what the ones before it will have led to."""
    states = dict(known)
    decisions: list[Decided] = []
    for request in requests:
        key = (request.user_id, request.task_id or 0)
        decision = _decide(request, states.get(key, NoTask()), before)
        decisions.append(decision)
        if isinstance(decision, Decision) and request.task_id is not None:
            foreseen = _foreseen(request.task_id, decision.expected_version, decision.events)
            states[key] = fold(states[key], foreseen)
    return decisions


def _decide(
    request: CommandRequest, state: TaskState, before: Mapping[tuple[str, str], TaskState | CommandError]
) -> Decided:
    if request.once and (outcome := before.get((request.user_id, request.once.key))) is not None:
        return Repeated(outcome=outcome)
    try:
        events = decide(request.command, state)
    except CommandError as error:
        return error
    if request.if_match is not None and state.version not in request.if_match:
        return StaleError()
    return Decision(expected_version=state.version, events=events)


def _foreseen(task_id: int, version: int, events: Sequence[TaskEvent]) -> Iterator[Recorded]:
    """The events as if they were recorded: no decision depends on a position or a time."""
    for n, event in enumerate(events, start=version + 1):
        yield Recorded(event=event, task_id=task_id, position=0, version=n, recorded_at=_NO_TIME)


def _append(request: CommandRequest, decision: Decision) -> Append:
    return Append(
        user_id=request.user_id,
        task_id=request.task_id,
        expected_version=decision.expected_version,
        events=decision.events,
        actor=request.user_id,
        request_id=request.request_id,
        once=request.once,
    )


def _settle(
    requests: Sequence[CommandRequest],
    decisions: Sequence[Decided],
    appended: Mapping[int, tuple[Recorded, ...] | Refused],
    states: dict[TaskKey, TaskState],
    proved: set[TaskKey],
) -> Iterator[Outcome]:
    """Each request's outcome; `states` and `proved` follow what was appended, by its request's place."""
    refused: dict[TaskKey, Refused] = {}
    for n, (request, decision) in enumerate(zip(requests, decisions, strict=True)):
        key = (request.user_id, request.task_id or 0)
        result = appended.get(n)
        if isinstance(decision, Repeated):
            yield decision.outcome
        elif isinstance(result, tuple):
            state = fold(states.get(key, NoTask()), result)
            if request.task_id is not None:
                states[key] = state
                proved.add(key)
            yield state
        elif isinstance(result, Refused):
            refused[key] = result
            yield result
        elif request.task_id is None and isinstance(decision, CommandError):
            yield decision  # of a new task nothing is known that could be old
        elif key in refused:
            yield refused[key]
        elif key not in proved:
            yield Refused.CONFLICT
        else:
            yield decision if isinstance(decision, CommandError) else states[key]

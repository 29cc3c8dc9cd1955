"""Carry commands out: load, fold, decide, append; many at once, each on the result of the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from command_api.known_states import KnownStates
from domain.commands import Command
from domain.decide import CommandError, decide
from domain.events import Recorded, TaskEvent
from domain.evolve import fold
from domain.task import NoTask, TaskState
from event_log.append import Append, Fetching, Refused, append
from event_log.read import TaskKey, task_events


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A command for one task of a user, or for a new one; `reload` once what was known of the task proved old."""

    user_id: str
    task_id: int | None
    command: Command
    request_id: str
    reload: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The events that a request leads to when its task is at `expected_version`."""

    expected_version: int
    events: tuple[TaskEvent, ...]


Outcome: TypeAlias = TaskState | CommandError | Refused

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


async def handle(
    database: Fetching, known: KnownStates, requests: Sequence[Request], *, wait: bool = False
) -> list[Outcome]:
    """Try each of `requests` once, in order: the task after it, why it cannot be, or that it has to be tried again.

    A task that comes back is committed. What is known of a task may be old, so it is proved: by the append, which
    expects its version, or where there is nothing to append by having been loaded just now.
    """
    states, proved = await _load(database, known, requests)
    decisions = _decide_all(requests, states)
    appends = [_append(*pair) for pair in zip(requests, decisions, strict=True) if _has_events(pair[1])]
    appended = iter(await append(database, appends, wait=wait) if appends else ())
    outcomes = list(_settle(requests, decisions, appended, states, proved))
    for key in proved:
        known.keep(key, states[key])
    return outcomes


async def _load(
    database: Fetching, known: KnownStates, requests: Sequence[Request]
) -> tuple[dict[TaskKey, TaskState], set[TaskKey]]:
    """The state of each task, and those that were read from the ledger just now."""
    states: dict[TaskKey, TaskState] = {}
    loaded: set[TaskKey] = set()
    for request in requests:
        if request.task_id is not None:
            key = (request.user_id, request.task_id)
            state = known.get(key)
            states[key] = state or NoTask()
            if state is None or request.reload:
                loaded.add(key)
    if loaded:
        histories = await task_events(database, {key: states[key].version for key in loaded})
        states.update({key: fold(states[key], history) for key, history in histories.items()})
    return states, loaded


def _decide_all(requests: Sequence[Request], known: Mapping[TaskKey, TaskState]) -> list[Decision | CommandError]:
    """Decide in order, each on what the ones before it will have led to."""
    states = dict(known)
    decisions: list[Decision | CommandError] = []
    for request in requests:
        key = (request.user_id, request.task_id or 0)
        state = states.get(key, NoTask())
        try:
            events = decide(request.command, state)
        except CommandError as error:
            decisions.append(error)
            continue
        decisions.append(Decision(expected_version=state.version, events=events))
        if request.task_id is not None:
            states[key] = fold(state, _foreseen(request.task_id, state.version, events))
    return decisions


def _foreseen(task_id: int, version: int, events: Sequence[TaskEvent]) -> Iterator[Recorded]:
    """The events as if they were recorded: no decision depends on a position or a time."""
    for n, event in enumerate(events, start=version + 1):
        yield Recorded(event=event, task_id=task_id, position=0, version=n, recorded_at=_NO_TIME)


def _has_events(decision: Decision | CommandError) -> bool:
    return isinstance(decision, Decision) and bool(decision.events)


def _append(request: Request, decision: Decision | CommandError) -> Append:
    assert isinstance(decision, Decision)
    return Append(
        user_id=request.user_id,
        task_id=request.task_id,
        expected_version=decision.expected_version,
        events=decision.events,
        actor=request.user_id,
        request_id=request.request_id,
    )


def _settle(
    requests: Sequence[Request],
    decisions: Sequence[Decision | CommandError],
    appended: Iterator[tuple[Recorded, ...] | Refused],
    states: dict[TaskKey, TaskState],
    proved: set[TaskKey],
) -> Iterator[Outcome]:
    """Each request's outcome; `states` and `proved` follow what was appended."""
    refused: dict[TaskKey, Refused] = {}
    for request, decision in zip(requests, decisions, strict=True):
        key = (request.user_id, request.task_id or 0)
        result = next(appended) if _has_events(decision) else None
        if isinstance(result, tuple):
            state = fold(states.get(key, NoTask()), result)
            if request.task_id is not None:
                states[key] = state
                proved.add(key)
            yield state
        elif isinstance(result, Refused):
            refused[key] = result
            yield result
        elif key in refused:
            yield refused[key]
        elif key not in proved:
            yield Refused.CONFLICT
        else:
            yield decision if isinstance(decision, CommandError) else states[key]

"""The checker of streams: what listeners were told, against the ledger. Pure functions that yield violations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.chaos.checker import Violation
from tests.chaos.fold import Event, TaskObject, Tasks, apply, contract_fields
from tests.chaos.listening import Told


class History(NamedTuple):
    """A user's events as they were until a moment when the ledger lost the last ones; the last history has no end."""

    until: float
    stream: Sequence[Event]


class _Folded:
    """A user's tasks at each position of a history."""

    def __init__(self, history: History) -> None:
        self.until, self.stream = history
        self.states: list[Mapping[int, TaskObject]] = [{}]
        self.begun: dict[int, int] = {}
        tasks = Tasks()
        for event in self.stream:
            apply(tasks, event)
            self.states.append(dict(tasks))
            self.begun.setdefault(event.task_id, event.position)

    def changed(self, since: int, until: int) -> tuple[set[int], set[int]]:
        """Return what a client with the tasks at `since` must be told: the ids of changed and of deleted tasks."""
        ids = {event.task_id for event in self.stream[since:until]}
        alive = {task_id for task_id in ids if task_id in self.states[until]}
        return alive, {task_id for task_id in ids - alive if self.begun[task_id] <= since}


def check_told(user: str, told: Sequence[Told], histories: Sequence[History]) -> Iterator[Violation]:
    """Check that each change was told once and in order, and that the tasks equal the list at each event."""
    folded = [_Folded(history) for history in histories]
    held: dict[int, dict[str, Any]] = {}
    since, is_partial = 0, False
    for one in told:
        if one.anew:
            held, since, is_partial = {}, 0, False
        history = next(history for history in folded if one.begun < history.until)
        if not since <= one.position < len(history.states):
            yield Violation("changes come in order", user, f"{one.position} after {since} of {len(history.stream)}")
            return
        if not one.more and not is_partial:
            yield from _check_one(user, one, since, *history.changed(since, one.position))
        held |= {task["id"]: task for task in one.tasks}
        held = {task_id: task for task_id, task in held.items() if task_id not in one.deleted}
        is_partial = one.more
        since = one.position
        right = {task_id: contract_fields(task) for task_id, task in history.states[since].items()}
        if not is_partial and held != right:
            yield Violation("a replica is the list", user, f"at {since}: {_difference(held, right)}")
            return
    if since != len(folded[-1].stream) or is_partial:
        yield Violation("a listener is told everything", user, f"told up to {since} of {len(folded[-1].stream)}")


def _check_one(user: str, one: Told, since: int, changed: set[int], deleted: set[int]) -> Iterator[Violation]:
    ids = [task["id"] for task in one.tasks]
    what = f"from {since} to {one.position}: tasks {ids}, deleted {one.deleted}, were {changed}, {deleted}"
    if len(set(ids)) < len(ids) or not set(ids) <= changed or not set(one.deleted) <= deleted:
        yield Violation("a change is told once", user, what)
    if not changed <= set(ids) or not deleted <= set(one.deleted):
        yield Violation("no change is missed", user, what)


def check_refused(user: str, refused: Sequence[float], losses: Sequence[float]) -> Iterator[Violation]:
    """Check that a token was unknown only after the ledger lost something, and at most once each time."""
    for n, moment in enumerate(refused):
        if n >= len(losses) or moment < losses[n]:
            yield Violation("a token stays known", user, f"it was not at {moment:.3f}, losses at {losses}")
            return


def _difference(held: Mapping[int, object], right: Mapping[int, object]) -> str:
    ids = sorted(task_id for task_id in held.keys() | right.keys() if held.get(task_id) != right.get(task_id))
    return f"task {ids[0]}: {held.get(ids[0])}, in the ledger {right.get(ids[0])}"

"""The checker: compares what clients were told with what is stored. Pure functions that yield violations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import orjson

from tests.chaos.fold import Event, IllegalEventError, TaskObject, Tasks, apply, contract_fields
from tests.chaos.history import Operation
from tests.chaos.ledger import Stored

PLANTED: Final = "planted."
"""The beginning of request ids of events that a scenario added, not a client."""

_FIELDS: Final = ("title", "description", "priority", "due_date", "tags", "category")
_TOGGLES: Final = ("task.completed", "task.reopened")
_EVENTS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("task.created",),
    "edit": ("task.edited",),
    "toggle": _TOGGLES,
    "set": _TOGGLES,  # the one that its body asks for, see _fits
    "delete": ("task.deleted",),
    "restore": ("task.restored",),
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which one, for whom, and how it shows."""

    rule: str
    user: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.user}: {self.detail}"


class Evidence:
    """A history and what is stored, with lookups that several checks need."""

    def __init__(self, history: Sequence[Operation], stored: Stored) -> None:
        self.history = history
        self.stored = stored
        self.by_marker = {operation.marker: operation for operation in history}
        self.recorded: dict[str, list[Event]] = defaultdict(list)
        for stream in stored.streams.values():
            for event in stream:
                self.recorded[event.marker].append(event)

    @cached_property
    def versions(self) -> dict[tuple[str, int | None, int | None], TaskObject | None]:
        """The state of each task at each version, None if deleted; illegal events are skipped."""
        found: dict[tuple[str, int | None, int | None], TaskObject | None] = {}
        for user, stream in self.stored.streams.items():
            tasks = Tasks()
            for event in stream:
                try:
                    apply(tasks, event)
                except IllegalEventError:
                    continue
                found[user, event.task_id, event.version] = tasks.get(event.task_id)
        return found


def check_answers(history: Iterable[Operation]) -> Iterator[Violation]:
    """Check that every answer is right, or an error in our shape; none is a 500; a 503 has Retry-After."""
    for operation in history:
        status = operation.status
        if status is None or status < 400:
            continue
        if status >= 500 and status != 503:
            yield Violation("no 500 ever", operation.user, str(operation))
        if status == 503 and not operation.headers.get("retry-after", "").isdigit():
            yield Violation("a 503 has Retry-After", operation.user, str(operation))
        try:
            problem = operation.json()
        except orjson.JSONDecodeError:
            problem = None
        if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str) or "message" in problem:
            yield Violation("an error has our shape", operation.user, f"{operation}: {operation.answer[:80]!r}")


def check_writes(evidence: Evidence) -> Iterator[Violation]:
    """Check that acknowledged writes are in the ledger once, refused ones never, unknown ones at most once.

    Nothing else is in the ledger.
    """
    groups: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for operation in evidence.history:
        if operation.is_write:
            groups[operation.user, operation.key or operation.marker].append(operation)
    for group in groups.values():
        yield from _check_group(evidence, group)
    for marker, events in evidence.recorded.items():
        if marker.startswith(PLANTED):
            continue
        asked = evidence.by_marker.get(marker)
        if asked is None or not asked.is_write or asked.user != events[0].user:
            yield Violation("every event was asked for", events[0].user, f"{events[0].type} of {marker}")


def _check_group(evidence: Evidence, group: Sequence[Operation]) -> Iterator[Violation]:
    """Check the attempts of one command; there are several only under an Idempotency-Key."""
    first = group[0]
    carried_out = [operation for operation in group if operation.marker in evidence.recorded]
    if len(carried_out) > 1:
        yield Violation("a key is carried out once", first.user, "; ".join(map(str, carried_out)))
    for operation in group:
        events = evidence.recorded.get(operation.marker, [])
        if operation.is_refused and events:
            yield Violation("what is refused did not happen", operation.user, str(operation))
        if events and not _fits(evidence, operation, events):
            types = [(event.type, event.task_id, event.position) for event in events]
            yield Violation("a write happens once", operation.user, f"{operation}: {types}")
        if operation.is_acknowledged:
            done = evidence.recorded.get(carried_out[0].marker, []) if carried_out else []
            yield from _check_acknowledged(evidence, operation, done)


def _fits(evidence: Evidence, operation: Operation, events: Sequence[Event]) -> bool:
    (event, *others) = events
    body = operation.body or {}
    before = evidence.versions.get((event.user, event.task_id, event.version - 1)) or {}
    return (
        not others
        and event.type in _EVENTS_OF[operation.kind]
        and operation.task_id in {None, event.task_id}
        and all(event.data.get(name, before.get(name)) == body[name] for name in _FIELDS if name in body)
        and all(event.data.get(name) is None for name in _FIELDS if name not in body)
        and body.get("completed") in {None, event.type == "task.completed"}
    )


def _check_acknowledged(evidence: Evidence, operation: Operation, done: Sequence[Event]) -> Iterator[Violation]:
    user = operation.user
    if not done and operation.kind not in {"set", "restore"}:
        yield Violation("an acknowledged write is in the ledger", user, str(operation))
        return
    before = done[0].version - 1 if done else operation.number
    if operation.if_match not in {None, before}:
        yield Violation("If-Match holds", user, f"{operation}: If-Match {operation.if_match}, it was at {before}")
    if operation.kind == "delete":
        return
    answer, version = operation.json(), operation.number
    if done and version != done[0].version:
        yield Violation("an answer gives its version", user, f"{operation}: {version}, stored {done[0].version}")
    task = evidence.versions.get((user, answer["id"], version))
    if task is None or contract_fields(task) != answer:
        yield Violation("an answer is the task after the write", user, f"{operation}: {answer}, stored {task}")
    if operation.kind == "set" and operation.body != {"completed": answer["completed"]}:
        yield Violation("a set sets", user, str(operation))

"""Real-time order: per user, reads and writes are linearizable; the ledger's positions give the order."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from tests.chaos.checker import Evidence, Violation
from tests.chaos.fold import Event, IllegalEventError, Tasks, apply, contract_fields, listed
from tests.chaos.history import Operation

_AFTER_ALL = 2**62


class Timeline:
    """A user's stream on the clients' clock.

    `floor` is the highest position that some client had seen before a moment; a request sent then must reflect at least
    that. `ceiling` is the last position such that its event and all earlier ones had been requested by a moment.
    """

    def __init__(self, evidence: Evidence, user: str, operations: Sequence[Operation]) -> None:
        self.stream = evidence.stored.streams.get(user, [])
        asked = [evidence.by_marker.get(event.marker) for event in self.stream]
        self._asked = list(accumulate((one.invoked if one else -math.inf for one in asked), max))
        self._places: dict[tuple[int | None, int | None], int] = {}
        self._gone: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for event in self.stream:
            self._places[event.task_id, event.version] = event.position
            if event.type == "task.deleted":
                self._gone[event.task_id].append((event.position, _AFTER_ALL))
            if event.type == "task.restored" and (spans := self._gone[event.task_id]):
                spans[-1] = (spans[-1][0], event.position - 1)
        known = sorted((one.returned, self.place(evidence, one)[0]) for one in operations if one.is_acknowledged)
        self._returned = [returned for returned, _ in known]
        self._known = list(accumulate((place for _, place in known), max))

    def floor(self, moment: float) -> int:
        index = bisect_left(self._returned, moment)
        return self._known[index - 1] if index else 0

    def ceiling(self, moment: float) -> int:
        return bisect_right(self._asked, moment)

    def at(self, task_id: int | None, version: int | None) -> tuple[int, int]:
        """Return the first and the last position at which the task has this version; (0, 0) for none."""
        first = self._places.get((task_id, version), 0)
        if not first or version is None:
            return 0, 0
        return first, self._places.get((task_id, version + 1), _AFTER_ALL) - 1

    def absent(self, task_id: int) -> list[tuple[int, int]]:
        """Return the spans of positions at which the task does not exist."""
        begin = self._places.get((task_id, 1), _AFTER_ALL)
        return [(0, begin - 1), *self._gone.get(task_id, [])]

    def place(self, evidence: Evidence, operation: Operation) -> tuple[int, int]:
        """Return the positions that an acknowledged operation may reflect: of its own event, or of what it read."""
        if events := evidence.recorded.get(operation.marker):
            return events[0].position, events[0].position
        if operation.kind == "list":
            return operation.number or 0, operation.number or 0
        if operation.key is not None:
            return 0, _AFTER_ALL  # repeats the answer of an earlier request
        return self.at(operation.task_id, operation.number)


def check_order(evidence: Evidence) -> Iterator[Violation]:
    """Check that no read is stale, goes back, or shows the future, and no write comes before what was known."""
    by_user: dict[str, list[Operation]] = defaultdict(list)
    for operation in evidence.history:
        by_user[operation.user].append(operation)
    for user, operations in by_user.items():
        timeline = Timeline(evidence, user, operations)
        for operation in operations:
            yield from _check_place(evidence, timeline, operation)
        yield from _check_refusals(timeline, operations)
        yield from _check_bodies(evidence, timeline.stream, user, operations)


def _check_place(evidence: Evidence, timeline: Timeline, operation: Operation) -> Iterator[Violation]:
    floor, ceiling = timeline.floor(operation.invoked), timeline.ceiling(operation.returned)
    if events := evidence.recorded.get(operation.marker):
        if events[0].position <= floor:
            detail = f"{operation} is at {events[0].position}, {floor} was known before"
            yield Violation("a write follows what was known", operation.user, detail)
        return
    if not operation.is_acknowledged:
        return
    first, last = timeline.place(evidence, operation)
    if last < floor:
        detail = f"{operation} reflects {last}, {floor} was known before"
        yield Violation("no read is stale", operation.user, detail)
    if first > ceiling:
        detail = f"{operation} reflects {first}, {ceiling} was there"
        yield Violation("no read is from the future", operation.user, detail)


def _check_refusals(timeline: Timeline, operations: Sequence[Operation]) -> Iterator[Violation]:
    """Check that each 404 and 412 was true at some moment of its request."""
    for operation in operations:
        if operation.status not in {404, 412}:
            continue
        floor, ceiling = timeline.floor(operation.invoked), timeline.ceiling(operation.returned)
        if operation.task_id is None:
            true = False
        elif operation.status == 404:
            absent = timeline.absent(operation.task_id)[: 1 if operation.kind == "restore" else None]
            true = any(first <= ceiling and floor <= last for first, last in absent)
        elif operation.if_match is None:
            true = False
        else:
            first, last = timeline.at(operation.task_id, operation.if_match)
            true = not (first <= floor and ceiling <= last)
        if not true:
            detail = f"{operation}: it held all the time from {floor} to {ceiling}"
            yield Violation("a refusal is true", operation.user, detail)


def _check_bodies(
    evidence: Evidence, stream: Sequence[Event], user: str, operations: Sequence[Operation]
) -> Iterator[Violation]:
    """Check that a read shows the fold of the ledger up to the position or version that it names."""
    lists: dict[int, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.status == 200 and operation.kind == "list":
            lists[operation.number or 0].append(operation)
        elif operation.status == 200 and operation.kind == "get":
            task = evidence.versions.get((user, operation.task_id, operation.number))
            if task is None or contract_fields(task) != operation.json():
                yield Violation("a read is the fold", user, f"{operation}: {operation.answer!r}, stored {task}")
    yield from _check_lists(stream, user, lists)


def _check_lists(stream: Sequence[Event], user: str, lists: Mapping[int, Sequence[Operation]]) -> Iterator[Violation]:
    tasks = Tasks()
    for position in range(len(stream) + 1):
        if position:
            try:
                apply(tasks, stream[position - 1])
            except IllegalEventError:
                return  # check_streams reports it
        for operation in lists.get(position, ()):
            page, total = listed(tasks, operation.query)
            if operation.json() != page or operation.headers.get("x-total-count", str(total)) != str(total):
                detail = f"{operation} at {position}: {operation.answer[:300]!r}, folded {str(page)[:300]}"
                yield Violation("a read is the fold", user, detail)

"""Checks whether the events of a stream could have happened at all, whatever their hashes say.

A hash chain proves that events are as they were written. It does not prove that they could have happened: after a
fail-over that lost events, or after an import, a task that was never completed may be reopened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from event_log.chain import Fault
from event_log.codec import STREAM_ERASED, is_known

LARGEST_TASK_ID: Final = 2**53 - 1
"""The largest integer that every JSON parser reads exactly."""

_PAGE_BITS: Final = 10

StoryEvent: TypeAlias = tuple[str, int, int | None, int, str, int]
"""User, position, task, version, type and schema version of an event."""


class _Standing(Enum):
    ABSENT = "does not exist"
    ADOPTED = "was adopted"
    DELETED_ADOPTED = "was adopted and deleted"
    PENDING = "is pending"
    COMPLETED = "is completed"
    DELETED = "was deleted"
    DELETED_COMPLETED = "was deleted when it was completed"


_NEXT: Final[Mapping[tuple[str, _Standing], _Standing]] = {
    ("task.created", _Standing.ABSENT): _Standing.PENDING,
    ("task.edited", _Standing.PENDING): _Standing.PENDING,
    ("task.edited", _Standing.COMPLETED): _Standing.COMPLETED,
    ("task.completed", _Standing.PENDING): _Standing.COMPLETED,
    ("task.reopened", _Standing.COMPLETED): _Standing.PENDING,
    ("task.deleted", _Standing.PENDING): _Standing.DELETED,
    ("task.deleted", _Standing.COMPLETED): _Standing.DELETED_COMPLETED,
    ("task.restored", _Standing.DELETED): _Standing.PENDING,
    ("task.restored", _Standing.DELETED_COMPLETED): _Standing.COMPLETED,
    # An adopted task may or may not be completed: its data say which, but an erasure removes them.
    ("task.adopted", _Standing.ABSENT): _Standing.ADOPTED,
    ("task.edited", _Standing.ADOPTED): _Standing.ADOPTED,
    ("task.completed", _Standing.ADOPTED): _Standing.COMPLETED,
    ("task.reopened", _Standing.ADOPTED): _Standing.PENDING,
    ("task.deleted", _Standing.ADOPTED): _Standing.DELETED_ADOPTED,
    ("task.restored", _Standing.DELETED_ADOPTED): _Standing.ADOPTED,
    (STREAM_ERASED, _Standing.ABSENT): _Standing.ABSENT,
}
"""A task's state after each possible event; `decide` allows no others. An erasure belongs to a stream, not a task."""

_NEW: Final = (0, _Standing.ABSENT)


class TaskIds:
    """A set of task ids, one bit per id, so that the ids of millions of tasks fit into memory."""

    def __init__(self) -> None:
        self._pages: defaultdict[int, int] = defaultdict(int)

    def take(self, task_id: int) -> bool:
        """Add an id; return False if it was already in the set."""
        page, bit = task_id >> _PAGE_BITS, 1 << (task_id & (1 << _PAGE_BITS) - 1)
        if self._pages[page] & bit:
            return False
        self._pages[page] |= bit
        return True

    def highest(self, first: int, last: int) -> int:
        """Return the highest id of those from `first` to `last`, 0 without one."""
        for page in sorted((page for page in self._pages if page <= last >> _PAGE_BITS), reverse=True):
            up_to = (1 << (last - (page << _PAGE_BITS) + 1)) - 1 if page == last >> _PAGE_BITS else -1
            if bits := self._pages[page] & up_to:
                found = (page << _PAGE_BITS) + bits.bit_length() - 1
                return found if found >= first else 0
        return 0


@dataclass(kw_only=True, slots=True)
class Story:
    """Checks events, which must come in order of user and position; `faults` holds the first fault of each user.

    `task_ids` are those of the users' tasks. The tasks of users who are `elsewhere` are in another ledger, with the
    same ids, so these are kept apart, in `ids_elsewhere`.
    """

    faults: dict[str, Fault] = field(default_factory=dict)
    task_ids: TaskIds = field(default_factory=TaskIds)
    elsewhere: Container[str] = ()
    ids_elsewhere: TaskIds = field(default_factory=TaskIds)
    _user: str | None = None
    _unread: str | None = None
    _tasks: dict[int | None, tuple[int, _Standing]] = field(default_factory=dict)

    def feed(self, events: Iterable[StoryEvent]) -> None:
        """Check more events."""
        user, tasks = self._user, self._tasks
        for user_id, position, task_id, version, kind, schema_version in events:
            if user_id != user:
                self._user, user = user_id, user_id
                tasks.clear()
            if user_id == self._unread:
                continue
            if not is_known(kind, schema_version):
                # A newer version wrote this event, and only that version can check the events after it.
                self._unread = user_id
                continue
            before, standing = tasks.get(task_id, _NEW)
            after = _NEXT.get((kind, standing))
            if after is None or version != before + 1 or (task_id is None) is not (kind == STREAM_ERASED):
                self._fault(user_id, position, _reason(task_id, version, kind, (before, standing)))
            elif standing is _Standing.ABSENT and task_id is not None:
                self._begin(user_id, position, task_id)
            tasks[task_id] = (version, after or standing)

    def take_faults(self) -> dict[str, Fault]:
        """Return the faults found so far, and clear them."""
        faults, self.faults = self.faults, {}
        return faults

    def _begin(self, user_id: str, position: int, task_id: int) -> None:
        if not 0 < task_id <= LARGEST_TASK_ID:
            self._fault(user_id, position, f"the task's id {task_id} is not between 1 and 2^53 - 1")
        elif not (self.ids_elsewhere if user_id in self.elsewhere else self.task_ids).take(task_id):
            self._fault(user_id, position, f"task {task_id} is created, but another user's events have its id")

    def _fault(self, user_id: str, position: int, reason: str) -> None:
        self.faults.setdefault(user_id, Fault(user_id=user_id, position=position, reason=reason))


def _reason(task_id: int | None, version: int, kind: str, known: tuple[int, _Standing]) -> str:
    """Return why an event cannot have happened."""
    before, standing = known
    if (task_id is None) is not (kind == STREAM_ERASED):
        return f"{kind} must {'have no' if kind == STREAM_ERASED else 'have a'} task"
    if version != before + 1:
        return f"{kind} has version {version}, but the one before it has {before}"
    return f"{kind} cannot happen: task {task_id} {standing.value}"

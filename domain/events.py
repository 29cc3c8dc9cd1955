"""What happened to a task, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from domain.fields import Changes, Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCreated(Fields):
    """A task began, pending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskAdopted(Fields):
    """A task of another backend goes on here, with the times that it had there.

    It is completed if there is a time when it was. The times are None only after an erasure.
    """

    completed_at: datetime | None = None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEdited(Changes):
    """Some fields changed; what did not change is unset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCompleted:
    """A pending task was completed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskReopened:
    """A completed task was made pending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDeleted:
    """The task was deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRestored:
    """A deleted task is what it was before."""


TaskEvent: TypeAlias = (
    TaskCreated | TaskAdopted | TaskEdited | TaskCompleted | TaskReopened | TaskDeleted | TaskRestored
)


class Recorded(NamedTuple):
    """An event with its place in the ledger.

    `position` counts the events of one user and `version` those of one task, both from 1 and without a gap;
    `recorded_at` never runs backwards within a user's stream. `event_id` is unique over all histories, or None if it
    was not read.
    """

    event: TaskEvent
    task_id: int
    position: int
    version: int
    recorded_at: datetime
    event_id: UUID | None = None

"""The states of a task."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from domain.fields import ErasedText

TITLE_KEY_LENGTH = 200
"""The longest key that titles are sorted by, in code points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTask:
    """Nothing has happened under this id yet."""

    version: int = 0


class Task(NamedTuple):
    """A task that exists, pending or completed: its id, the fields of `domain.fields` in their order, then the rest.

    `created_position` is the position of its first event, `version` that of its last one among its own. A named
    tuple, as a replay makes one for every event: a frozen dataclass takes twice the time.
    """

    id: int
    title: str
    description: str | None
    due_date: str | None
    priority: str
    tags: tuple[str, ...]
    category: str | None
    completed: bool
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    created_position: int
    version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedTask:
    """A task that was deleted, and can be restored; no other task ever gets its id.

    `task` is what it was. `version` is that of the deletion.
    """

    task: Task
    deleted_at: datetime
    version: int

    @property
    def id(self) -> int:
        """The task's id."""
        return self.task.id

    @property
    def is_erased(self) -> bool:
        """Whether its text was erased, so that there is nothing to restore."""
        return isinstance(self.task.title, ErasedText)


TaskState: TypeAlias = NoTask | Task | DeletedTask


def title_key(title: str) -> str:
    """Return the key that titles are sorted by, compared by code point: NFKC, casefolded, cut.

    The cut keeps the key within what a database index takes; titles alike up to there are sorted by id.
    """
    if title.isascii():  # no other form, and in half the time
        return title.lower()[:TITLE_KEY_LENGTH]
    return unicodedata.normalize("NFKC", title).casefold()[:TITLE_KEY_LENGTH]

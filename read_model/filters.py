"""What a list's tasks must have besides a status: for rows as SQL patterns, for tasks in memory as a predicate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.task import Task
from read_model.keys import due_key, facets, search_text

_BETWEEN: Final = "\x1f"
"""Stands between the patterns of a text. It is white space, of which facets and words have none but blanks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """The lines of facets and the words that a task must have, all of them, and the moments between which it is due.

    Moments are in microseconds from 1970; `due_after` is included, `due_before` is not.
    """

    lines: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    due_after: int | None = None
    due_before: int | None = None

    @property
    def size(self) -> int:
        """Return how many characters they have."""
        return sum(map(len, (*self.lines, *self.words)))

    @property
    def line_patterns(self) -> str | None:
        """Return the patterns of the facets for SQL's LIKE, between them U+001F; None for none."""
        return _patterns([f"\n{line}\n" for line in self.lines])

    @property
    def word_patterns(self) -> str | None:
        """Return the patterns of the words likewise."""
        return _patterns(self.words)

    def has_but_for_words(self, task: Task) -> bool:
        """Return whether the task has the facets, and is due in time."""
        if self.due_after is not None or self.due_before is not None:
            due = due_key(task)
            if due is None or (self.due_after is not None and due < self.due_after):
                return False
            if self.due_before is not None and due >= self.due_before:
                return False
        if not self.lines:
            return True
        its = facets(task)
        return all(f"\n{line}\n" in its for line in self.lines)

    def has_words(self, task: Task) -> bool:
        """Return whether the task, which must have all its texts, has the words."""
        if not self.words:
            return True
        its = search_text(task)
        return all(word in its for word in self.words)


NO_FILTERS: Final = Filters()


def _patterns(texts: Sequence[str]) -> str | None:
    escaped = (text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for text in texts)
    return _BETWEEN.join(f"%{text}%" for text in escaped) or None

"""What tasks are ordered and found by: made here for rows and for tasks in memory, so that both give the same lists."""

from __future__ import annotations

import unicodedata
from typing import Final

from domain.due_date import is_date, microseconds, moment_of
from domain.labels import MEDIUM, label_key, priority_key
from domain.task import Task

_DAY: Final = 86_400_000_000


def due_key(task: Task) -> int | None:
    """Return the moment when a task is due, in microseconds from 1970; None if it is never."""
    return None if task.due_date is None else microseconds(moment_of(task.due_date))


def overdue_key(task: Task) -> int | None:
    """Return the moment at which a task is overdue, in microseconds from 1970: of a day its end."""
    if task.due_date is None:
        return None
    return microseconds(moment_of(task.due_date)) + (_DAY if is_date(task.due_date) else 0)


def priority_facet(priority: str) -> str:
    """Return the line of a priority among a task's facets."""
    return f"priority:{priority_key(priority)}"


def category_facet(category: str) -> str:
    """Return the line of a category among a task's facets."""
    return f"category:{label_key(category)}"


def tag_facet(tag: str) -> str:
    """Return the line of a tag among a task's facets."""
    return f"tag:{label_key(tag)}"


def facets(task: Task) -> str:
    """Return the lines that a task is found by, each between line feeds: of its priority, category and tags."""
    lines = [priority_facet(task.priority), *map(tag_facet, task.tags)]
    if task.category is not None:
        lines.append(category_facet(task.category))
    return "\n" + "\n".join(lines) + "\n"


PLAIN_FACETS: Final = f"\n{priority_facet(MEDIUM)}\n"
"""The facets of a task without tags and category, whose priority was not given: its row has null for them."""


def folded(text: str) -> str:
    """Return text as it is searched: without regard to case and to the forms of a letter."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


def search_text(task: Task) -> str:
    """Return the text in which a search looks for words: title, description, tags and category."""
    return folded("\n".join([task.title, task.description or "", *task.tags, task.category or ""]))

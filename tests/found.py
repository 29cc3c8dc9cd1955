"""What a list with filters and a sort must hold, in plain Python: it uses nothing of the tested code."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

Asked: TypeAlias = Mapping[str, str]
"""Query parameters by their canonical names."""

RANKS = {"low": 1, "p3": 1, "medium": 2, "p2": 2, "high": 3, "p1": 3, "urgent": 4, "critical": 4}
DUE = {
    "2026-02-07": datetime(2026, 2, 7, tzinfo=UTC),
    "2026-02-07T09:30": datetime(2026, 2, 7, 9, 30, tzinfo=UTC),
    "2026-02-07T00:00:00Z": datetime(2026, 2, 7, tzinfo=UTC),
    "2026-02-08": datetime(2026, 2, 8, tzinfo=UTC),
    "2026-03-01": datetime(2026, 3, 1, tzinfo=UTC),
    "2026-03-01T14:30:00Z": datetime(2026, 3, 1, 14, 30, tzinfo=UTC),
    "1969-12-31": datetime(1969, 12, 31, tzinfo=UTC),
    "9999-12-31T23:59:59.999999Z": datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
}
"""Some due dates and their moments."""
_SORTS = ("created", "updated", "title", "due", "priority")
ORDERS = [(sort, order) for sort in _SORTS for order in (None, "asc", "desc")]


@dataclass(kw_only=True)
class Known:
    """A task as a person knows it; `first` is the position of its first event, `updated` the time of its last."""

    id: int
    first: int
    title: str
    description: str | None = None
    priority: str = "medium"
    due_date: str | None = None
    tags: tuple[str, ...] = ()
    category: str | None = None
    completed: bool = False
    updated: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    version: int = 1


def listed(tasks: list[Known], asked: Asked) -> list[int]:
    """Return the ids of the tasks that a list must hold, in order."""
    found = [task for task in tasks if _is_found(task, asked)]
    sort, order = asked.get("sort", "created"), asked.get("order")
    descending = order == "desc" if order else sort in {"created", "updated", "priority"}
    with_key = [task for task in found if sort != "due" or task.due_date]
    without = [task for task in found if task not in with_key]
    with_key.sort(key=lambda task: (_key(task, sort), task.id), reverse=descending)
    without.sort(key=lambda task: task.id, reverse=descending)
    return [task.id for task in with_key + without]


def _key(task: Known, sort: str) -> Any:
    match sort:
        case "created":
            return task.first
        case "updated":
            return task.updated
        case "title":
            return _plain(task.title)[:200]
        case "due":
            return DUE[task.due_date or ""]
        case _:
            return RANKS.get(task.priority.lower(), 0)


def _is_found(task: Known, asked: Asked) -> bool:
    completed = {"pending": False, "completed": True}.get(asked.get("status", "all"), task.completed)
    priority, category, tags = asked.get("priority"), asked.get("category"), asked.get("tags", "")
    its_tags = {tag.casefold() for tag in task.tags}
    return (
        task.completed is completed
        and (not priority or _same_priority(task.priority, priority))
        and (not category or (task.category or "").casefold() == category.casefold())
        and all(tag.casefold() in its_tags for tag in tags.split(",") if tag)
        and _is_due(task, asked.get("due_after"), asked.get("due_before"))
        and _has_words(task, asked.get("search", ""))
    )


def _is_due(task: Known, after: str | None, before: str | None) -> bool:
    if not after and not before:
        return True
    due = DUE.get(task.due_date or "")
    return due is not None and (not after or due >= DUE[after]) and (not before or due < DUE[before])


def _has_words(task: Known, search: str) -> bool:
    texts = [_plain(text) for text in (task.title, task.description or "", *task.tags, task.category or "")]
    return all(any(word in text for text in texts) for word in _plain(search).split())


def _same_priority(one: str, other: str) -> bool:
    ranks = RANKS.get(one.lower()), RANKS.get(other.lower())
    return ranks[0] == ranks[1] if any(ranks) else one.casefold() == other.casefold()


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()

"""Priority, tags and category: short texts by which tasks are ordered and found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LABEL_LENGTH: Final = 50
"""The longest priority, tag and category, in code points."""

MOST_TAGS: Final = 50

MEDIUM: Final = "medium"
"""The priority of a task for which none was given."""

MEDIUM_RANK: Final = 2

_RANKS: Final = {
    "low": 1,
    "p3": 1,
    MEDIUM: MEDIUM_RANK,
    "p2": MEDIUM_RANK,
    "high": 3,
    "p1": 3,
    "urgent": 4,
    "critical": 4,
}
_BY_RANK: Final = {1: "low", MEDIUM_RANK: MEDIUM, 3: "high", 4: "urgent"}


def label_key(label: str) -> str:
    """Return what labels are compared by: without regard to case and to the kind of white space."""
    return " ".join(label.casefold().split())


def rank(priority: str) -> int:
    """Return how high a priority is, from 1 for low to 4 for urgent; 0 for none and other words."""
    return _RANKS.get(label_key(priority), 0)


def priority_key(priority: str) -> str:
    """Return what a priority is found by: the same for all words of a rank, else the text."""
    return _BY_RANK.get(rank(priority)) or label_key(priority)


def tags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are kept: trimmed, none empty, and of those alike the first.

    Raises:
        ValueError: they are too many, or one is too long.
    """
    kept: dict[str, str] = {}
    for text in texts:
        if tag := text.strip():
            kept.setdefault(label_key(tag), tag)
    if len(kept) > MOST_TAGS or any(len(tag) > LABEL_LENGTH for tag in kept.values()):
        raise ValueError
    return tuple(kept.values())


def is_priority(value: object) -> bool:
    """Whether a priority can be kept as `value`."""
    return isinstance(value, str) and 0 < len(value) <= LABEL_LENGTH


def is_category(value: object) -> bool:
    """Whether a category can be kept as `value`."""
    return value is None or is_priority(value)


def is_tags(value: object) -> bool:
    """Whether tags can be kept as `value`."""
    try:
        return isinstance(value, tuple) and tags_of(value) == value
    except ValueError:
        return False

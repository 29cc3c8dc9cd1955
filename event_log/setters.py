"""Which events set a field of a task: the partial indexes and the SQL functions look for them alike.

`migrations/templates.py` writes these conditions into the functions, `event_log/tables.py` into the indexes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.fields import FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Setter:
    """A field of a task, and in SQL over rows of `events` which of them set it after the first.

    `shows_before` are those of which a history tells what the field was before. `index` holds those that set it: the
    last one is found at once, however many others a task has had since.
    """

    field: str
    sets: str
    shows_before: str
    index: str


def _edited(field: str) -> Setter:
    """Return the setter of a field that edits change.

    They are found by text: within a JSON string the quote would be escaped, and an operator of json would fail on text
    that Postgres cannot hold.
    """
    member = field.replace("_", r"\_")
    sets = f"""type = 'task.edited' AND data::text LIKE '%"{member}":%'"""
    return Setter(field=field, sets=sets, shows_before=sets, index=f"events_{field.rstrip('s')}s")


SETTERS: Final = (
    *map(_edited, FIELDS),
    Setter(
        field="completed",
        sets="type IN ('task.completed', 'task.reopened')",
        shows_before="false",  # each of the two can happen to one state only
        index="events_completions",
    ),
)

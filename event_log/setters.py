"""Which events set a field of a task. The partial indexes and the SQL functions use the same conditions.

`migrations/templates.py` writes these conditions into the functions, `event_log/tables.py` into the indexes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.fields import FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Setter:
    """A field of a task, and the SQL condition over rows of `events` for those that set it after the first event.

    `shows_before` is the condition for events whose history entry shows the field's earlier value. `index` is the name
    of the index on the events that set it, so the last one is found at once in any history.
    """

    field: str
    sets: str
    shows_before: str
    index: str


def _plural(field: str) -> str:
    return f"{field[:-1]}ies" if field.endswith("y") else f"{field.rstrip('s')}s"


def _edited(field: str) -> Setter:
    """Return the setter of a field that edits change.

    The condition searches the text of the JSON: inside a JSON string a quote is escaped, so it cannot match there. A
    JSON operator would fail on text that Postgres cannot store.
    """
    member = field.replace("_", r"\_")
    sets = f"""type = 'task.edited' AND data::text LIKE '%"{member}":%'"""
    return Setter(field=field, sets=sets, shows_before=sets, index=f"events_{_plural(field)}")


SETTERS: Final = (
    *map(_edited, FIELDS),
    Setter(
        field="completed",
        sets="type IN ('task.completed', 'task.reopened')",
        shows_before="false",  # each of the two has only one possible earlier value
        index="events_completions",
    ),
)

"""Long texts: code that reads many events or tasks leaves them out, and fetches a few at a time when needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from domain.fields import FIELDS, field_values
from domain.task import Task, TaskState
from event_log.append import Fetching
from event_log.codec import decode

T = TypeVar("T")

SHORT_CHARACTERS: Final = 500
"""The longest text, in characters, that stays in a task's state; millions of states can be in memory."""
SHORT_BYTES: Final = 8192
"""The largest data of an event, or row, in bytes, that is read together with many others."""
ROOM_BYTES: Final = 4 * 1024 * 1024
"""How many bytes of long texts are in memory at a time; a single longer text is allowed."""

DATA: Final = f"""
    CASE WHEN tasklog.most_bytes(e.data) <= {SHORT_BYTES} THEN e.data::text END AS data,
    CASE WHEN tasklog.most_bytes(e.data) > {SHORT_BYTES} THEN tasklog.most_bytes(e.data) END AS left_out
"""
"""Columns of a query over events `e`: the data if they are short, otherwise how many bytes were left out."""

TEXTS: Final = """
    -- The events of users $1 at positions $2, with their data.
    SELECT e.user_id, e.position, e.type, e.schema_version, e.data::text AS data
    FROM unnest($1::text[], $2::bigint[]) AS wanted (user_id, position) JOIN tasklog.events e USING (user_id, position)
"""


class Elsewhere(str):
    """A placeholder for a long text in a task's state: the event at `position` holds the text, of `size` characters."""

    __slots__ = ("position", "size")

    position: int
    size: int

    @classmethod
    def of(cls, text: str, position: int) -> Elsewhere:
        """Return the placeholder for `text`."""
        made = cls()
        made.position, made.size = position, len(text)
        return made


def without_long_texts(state: TaskState, position: int) -> TaskState:
    """Return the state with placeholders for the long texts that the event at `position` set."""
    if not isinstance(state, Task):
        return state
    long: dict[str, Any] = {
        name: Elsewhere.of(value, position)
        for name, value in zip(FIELDS, field_values(state), strict=True)
        if isinstance(value, str) and len(value) > SHORT_CHARACTERS
    }
    return state._replace(**long) if long else state


def left_out(task: Task) -> list[Elsewhere]:
    """Return the placeholders for a task's long texts."""
    return [value for value in field_values(task) if isinstance(value, Elsewhere)]


async def whole(database: Fetching, tasks: Sequence[tuple[str, Task]], query: str = TEXTS) -> list[Task]:
    """Return the tasks (user id, task) with all their texts; `query` fetches these as TEXTS does.

    Raises:
        UnreadableEventError: an event that holds such a text cannot be read.
    """
    wanted = {(user_id, text.position) for user_id, task in tasks for text in left_out(task)}
    if not wanted:
        return [task for _, task in tasks]
    rows = await database.fetch(query, [user_id for user_id, _ in wanted], [position for _, position in wanted])
    events = {
        (row["user_id"], row["position"]): decode(row["type"], row["schema_version"], row["data"]) for row in rows
    }
    return [
        _with_texts(task, {text.position: events[user_id, text.position] for text in left_out(task)})
        for user_id, task in tasks
    ]


def _with_texts(task: Task, events: Mapping[int, object]) -> Task:
    texts = {
        name: getattr(events[value.position], name)
        for name, value in zip(FIELDS, field_values(task), strict=True)
        if isinstance(value, Elsewhere)
    }
    return task._replace(**texts)


async def with_data(
    database: Fetching, rows: Sequence[Mapping[str, Any]], query: str = TEXTS
) -> AsyncIterator[list[Mapping[str, Any]]]:
    """Yield the rows of a query with DATA again, now with all data, in lists of about ROOM_BYTES."""
    for part in parts((row, row["left_out"] or 0) for row in rows):
        long = [row for row in part if row["left_out"]]
        if not long:
            yield part
            continue
        found = await database.fetch(query, [row["user_id"] for row in long], [row["position"] for row in long])
        texts = {(row["user_id"], row["position"]): row["data"] for row in found}
        yield [{**row, "data": texts[row["user_id"], row["position"]]} if row["left_out"] else row for row in part]


def parts(sized: Iterable[tuple[T, int]], room: int = ROOM_BYTES) -> Iterator[list[T]]:
    """Divide items, given with their sizes, into lists of at most `room` in total, or of a single item."""
    part: list[T] = []
    size = 0
    for item, its_size in sized:
        if part and size + its_size > room:
            yield part
            part, size = [], 0
        part.append(item)
        size += its_size
    if part:
        yield part

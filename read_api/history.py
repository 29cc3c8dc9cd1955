"""History: a user's stored events, each with what it changed, from what to what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

import orjson

from domain.events import (
    TaskAdopted,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskReopened,
    TaskRestored,
)
from domain.fields import FIELDS, Fields, FieldValue, given
from event_log.append import Fetching
from event_log.chain import GENESIS
from event_log.codec import UnreadableEventError, decode
from event_log.elsewhere import check_here
from read_api.queries import Head, json_array
from read_model.bookmark import HASH_PREFIX_DIGITS

HISTORY: Final = """
    SELECT h.*, CASE WHEN h.head IS NULL THEN tasklog.elsewhere($1) END AS elsewhere
    FROM tasklog.history($1, $2, $3, $4, $5) h
"""

HISTORY_FIELDS: Final = (*FIELDS, "completed")
"""The fields whose changes a history shows."""

Known: TypeAlias = Mapping[str, FieldValue | bool]
"""The fields of a task, as far as they are known; empty before the task is created."""

_GONE: Final[Known] = dict.fromkeys(HISTORY_FIELDS)
_SILENT: Final[Known] = {
    name: value for name, value in given(Fields(title="")).items() if name not in {"title", "description"}
}
"""The defaults of fields: a creation and a deletion tell of such a field only where the task has another value."""


class Change(NamedTuple):
    """A field that an event set, and what it was before."""

    field: str
    before: FieldValue | bool
    after: FieldValue | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryQuery:
    """Which events: after position `after`, of one task or all, of one wire name or all, at most `limit`."""

    task_id: int | None = None
    after: int = 0
    limit: int = 100
    type: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPage:
    """A page as JSON, the stream's head, and the position after which the next page begins, if there is one."""

    body: bytes
    head: Head
    next: int | None


async def history(database: Fetching, user_id: str, query: HistoryQuery) -> HistoryPage | None:
    """Return a page of a user's history, or None if the user never had the requested task.

    A page may be shorter than its limit: it holds a few megabytes of text at most, and the search for a type stops
    after a bounded number of events. `next` says whether there may be more.

    Raises:
        UnavailableError: the database cannot answer.
    """
    (row,) = await database.fetch(HISTORY, user_id, query.task_id, query.type, query.after, query.limit)
    check_here(row["elsewhere"])
    if not row["known"]:
        return None
    found = json_array(row["page"])
    events = found[: query.limit]
    following = events[-1]["position"] if len(found) > query.limit else row["looked_at"]
    page = {
        "user_id": user_id,
        "head": {"position": row["head"] or 0, "hash": row["head_hash"] or GENESIS},
        "events": _entries(events, json_array(row["before"])),
        "next": following,
    }
    head = Head(row["head"] or 0, (row["head_hash"] or "")[:HASH_PREFIX_DIGITS])
    return HistoryPage(body=orjson.dumps(page), head=head, next=following)


def changes(event: TaskEvent, before: Known) -> list[Change]:
    """Return what `event` changes in a task whose fields were `before`; those of a deleted task before its deletion."""
    if isinstance(event, TaskRestored):
        found = [Change(field, None, before[field]) for field in HISTORY_FIELDS if field in before]
    else:
        found = [Change(field, before.get(field), after) for field, after in _sets(event).items()]
    match event:
        case TaskCreated() | TaskAdopted() | TaskRestored():
            return [change for change in found if change.field not in _SILENT or change.after != _SILENT[change.field]]
        case TaskDeleted():
            return [
                change
                for change in found
                if change.field not in _SILENT or change.before not in {None, _SILENT[change.field]}
            ]
        case _:
            return found


def _sets(event: TaskEvent) -> Known:
    match event:
        case TaskCreated() | TaskAdopted():
            is_completed = isinstance(event, TaskAdopted) and event.completed_at is not None
            return {**given(event), "completed": is_completed}
        case TaskEdited():
            return given(event)
        case TaskCompleted():
            return {"completed": True}
        case TaskReopened():
            return {"completed": False}
        case TaskDeleted():
            return _GONE
        case TaskRestored():
            return {}
        case _:  # pragma: no cover
            assert_never(event)


def _entries(events: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the events in the form of the answer; the events `before` them give the earlier values."""
    tasks: dict[int, Known] = {}
    for row in before:
        _follow(tasks, row)
    return [_entry(row, _follow(tasks, row)) for row in events]


def _follow(tasks: dict[int, Known], row: Mapping[str, Any]) -> list[Change]:
    """Return what a stored event changed, and update `tasks`; for an unreadable event, return nothing."""
    try:
        event = decode(row["type"], row["schema_version"], row["data"])
    except UnreadableEventError:
        return []
    known = tasks.get(row["task_id"], {})
    if isinstance(event, TaskCompleted | TaskReopened):
        known = {**known, "completed": isinstance(event, TaskReopened)}  # the only state in which it is possible
    if not isinstance(event, TaskDeleted):  # only a restoration can follow, which brings the same back
        tasks[row["task_id"]] = {**known, **_sets(event)}
    return changes(event, known)


def _entry(row: Mapping[str, Any], changed: Sequence[Change]) -> dict[str, Any]:
    metadata = json_object(row["metadata"])
    return {
        **row,
        "actor": metadata.get("actor"),
        "request_id": metadata.get("request_id"),
        "changes": [{"field": change.field, "from": change.before, "to": change.after} for change in changed],
        "erased": row["metadata"] is None,
        "undoes": metadata.get("undoes"),
    }


def json_object(text: str | None) -> dict[str, Any]:
    """Return the JSON object of `text`, or an empty one if it holds none."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}

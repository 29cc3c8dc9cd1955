"""A task's row of the read table as it must be, derived by hand and not by the code."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from tests.chaos.fold import TaskObject, contract_fields, shown, title_key

_RANKS: Final = {"low": 1, "medium": 2, "high": 3, "urgent": 4}
_NO_COLUMNS: Final = frozenset({"is_completed", "status"})


def row_of(task: TaskObject) -> dict[str, Any]:
    """Return the row of a task, with JSON decoded.

    Null stands for the usual priority, for its rank, for no tags, for the facets of a task that has only these, and for
    the searched text of a task that has no text but its title.
    """
    own = {name: value for name, value in task.items() if name not in _NO_COLUMNS}
    rank = _RANKS[task["priority"].lower()]
    labels = [f"tag:{tag.casefold()}" for tag in task["tags"]]
    labels += [f"category:{task['category'].casefold()}"] if task["category"] else []
    facets = None if rank == 2 and not labels else "\n".join(["", f"priority:{task['priority'].lower()}", *labels, ""])
    texts = [task["title"], task["description"] or "", *task["tags"], task["category"] or ""]
    searched, key = unicodedata.normalize("NFKC", "\n".join(texts)).casefold(), title_key(task["title"])
    return {
        **own,
        **_due(task["due_date"]),
        "priority": None if task["priority"] == "medium" else task["priority"],
        "priority_rank": None if rank == 2 else rank,
        "tags": task["tags"] or None,
        "facets": facets,
        "search_text": None if searched.rstrip("\n") == key else searched,
        "title_key": key,
        "body": contract_fields(task),
    }


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a stored row with its JSON decoded, and its times as the contract shows them."""
    times = {name: shown(value) for name, value in row.items() if isinstance(value, datetime)}
    tags = None if row["tags"] is None else orjson.loads(row["tags"])
    return {**row, **times, "tags": tags, "body": orjson.loads(whole_json(row["body"]))}


def encoded(row: dict[str, Any]) -> dict[str, Any]:
    """Return the stored form of a row from `row_of`."""
    times = {name: value and datetime.fromisoformat(value) for name, value in row.items() if name.endswith("_at")}
    tags = row["tags"] and orjson.dumps(row["tags"]).decode()
    return {**row, **times, "tags": tags, "body": orjson.dumps(row["body"]).decode()}


def whole_json(body: str) -> str:
    """Return the JSON of a stored body: one without its first brace lacks what most tasks end with."""
    if body.startswith("{"):
        return body
    end = '"priority":"medium","due_date":null,"tags":[],"category":null,"completed_at":null'
    return f'{{{body},{end},"is_completed":false,"status":"pending"}}'


def _due(date: str | None) -> dict[str, int | None]:
    """Return the moments at which a task is due and overdue, in microseconds from 1970: a day is overdue at its end."""
    if date is None:
        return {"due_key": None, "overdue_key": None}
    moment = datetime.fromisoformat(date)
    due = moment.replace(tzinfo=moment.tzinfo or UTC)
    overdue = due + timedelta(days=1) if len(date) == len("2026-03-01") else due
    epoch, unit = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    return {"due_key": (due - epoch) // unit, "overdue_key": (overdue - epoch) // unit}

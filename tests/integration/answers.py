"""Everything that can be asked about a user, as it is answered, and what a plain model says of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import asyncpg

from command_api.known_states import KnownStates
from domain.commands import Command
from read_api.long_lists import task_at
from read_api.queries import TaskBody, TaskQuery, get_tasks
from read_api.trash import TrashQuery, trash
from runtime.database import Database
from tests.integration.commands import happen
from tests.ledger import in_parts, list_tasks
from tests.model import LISTS, Model, Sort, Status

NOBODYS = 2**53 - 1


async def whole_tasks(model: Model, owner: asyncpg.Connection) -> dict[int, dict[str, Any]]:
    """Return the model's tasks as answers show them; their times are the ledger's."""
    rows = await owner.fetch(
        """
        SELECT task_id, min(recorded_at), max(recorded_at), max(recorded_at) FILTER (WHERE type = 'task.completed')
        FROM tasklog.events WHERE user_id = $1 GROUP BY 1
        """,
        model.user,
    )
    found = {}
    for task_id, created, updated, completed in rows:
        if task_id in model.tasks:
            times: dict[str, str | None] = {"created_at": _utc(created), "updated_at": _utc(updated)}
            times["completed_at"] = _utc(completed) if model.tasks[task_id]["completed"] else None
            found[task_id] = {"id": task_id, "user_id": model.user} | times | model.tasks[task_id]
    return found


def _utc(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def live(model: Model, writer: Database, known: KnownStates, history: list[tuple[Command, int]]) -> None:
    for command, number in history:
        await happen(model, writer, known, command, number)


async def walk(reader: Database, user: str, status: Status, sort: Sort, limit: int) -> Iterator[tuple[bytes, int]]:
    """Return the pages of a list, each with its total."""
    pages: list[tuple[bytes, int]] = []
    after = None
    while after is not None or not pages:
        query = TaskQuery(status=status, sort=sort, limit=limit, after=after)
        page = await list_tasks(reader, user, query)
        assert await in_parts(reader, user, query) == page
        assert page.total is not None
        pages.append((page.body, page.total))
        after = page.next
    return iter(pages)


async def answers(reader: Database, model: Model, limit: int) -> dict[Any, Any]:
    """Return all answers about a user."""
    found: dict[Any, Any] = {}
    for status, sort in LISTS:
        page = await list_tasks(reader, model.user, TaskQuery(status=status, sort=sort))
        found[status, sort] = page.body, page.head.position
        assert await in_parts(reader, model.user, TaskQuery(status=status, sort=sort)) == page
        found[status, sort, limit] = list(await walk(reader, model.user, status, sort, limit))
    for task_id in [*model.ids, NOBODYS]:
        task = (await get_tasks(reader, [(model.user, task_id)]))[0]
        assert not isinstance(task, Exception)
        assert task is None or isinstance(task, TaskBody)
        found[task_id] = task and (task.body, task.version)
        assert await task_at(reader, model.user, task_id) == task
    found["trash"] = await trash_of(reader, model.user)
    found["trash", limit] = [page async for page in trash_pages(reader, model.user, limit)]
    return found


async def trash_of(reader: Database, user: str) -> bytes:
    page = await trash(reader, user, TrashQuery())
    return b"".join([part async for part in page.parts(reader)])


async def trash_pages(reader: Database, user: str, limit: int) -> AsyncIterator[tuple[bytes, int | None]]:
    """Yield the pages of a trash, each with its total."""
    before = None
    while True:
        page = await trash(reader, user, TrashQuery(limit=limit, before=before))
        yield b"".join([part async for part in page.parts(reader)]), page.total
        before = page.next
        if before is None:
            return


def assert_trash(found: dict[Any, Any], model: Model, limit: int) -> None:
    deleted = json.loads(found["trash"])
    assert [task["id"] for task in deleted] == [*model.deleted][::-1]
    for task in deleted:
        was = model.deleted[task["id"]]
        assert {name: task[name] for name in was} == was
        assert task["deleted_at"] >= task["updated_at"]
    pages = found["trash", limit]
    assert [task for page, _ in pages for task in json.loads(page)] == deleted
    assert {total for _, total in pages} == {len(deleted)}
    assert len(pages) == max(1, -(-len(deleted) // limit))


async def assert_right(found: dict[Any, Any], model: Model, owner: asyncpg.Connection, limit: int) -> None:
    tasks = await whole_tasks(model, owner)
    events = await owner.fetch("SELECT task_id, version FROM tasklog.events WHERE user_id = $1", model.user)
    for status, sort in LISTS:
        expected = [tasks[task_id] for task_id in model.listed(status, sort)]
        body, head = found[status, sort]
        assert (json.loads(body), head) == (expected, len(events))
        pages = found[status, sort, limit]
        assert [task for page, _ in pages for task in json.loads(page)] == expected
        assert {total for _, total in pages} == {len(expected)}
        assert len(pages) == max(1, -(-len(expected) // limit))
    for task_id in [*model.ids, NOBODYS]:
        found_task = found[task_id] and (json.loads(found[task_id][0]), found[task_id][1])
        versions = [row["version"] for row in events if row["task_id"] == task_id]
        assert found_task == ((tasks[task_id], max(versions)) if task_id in tasks else None)
    assert_trash(found, model, limit)

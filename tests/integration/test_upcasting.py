"""Events that older versions stored, and events that nobody can read, from end to end.

Seen to fail: without the upcaster, with the upcaster run for events of the newest version, with an unreadable event
skipped, and with other users delayed.
"""

from __future__ import annotations

import json

import asyncpg
import pytest

from audit.status import status
from audit.verify import verify
from domain.events import TaskCompleted
from event_log.codec import STREAM_ERASED
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from read_api.history import HistoryQuery, history
from read_api.queries import TaskBody, TaskQuery, get_tasks
from read_api.time_travel import list_tasks_as_of
from runtime.database import Database
from tests.ledger import appended, created, list_tasks, of, tasks_copy

PLANT = """
    -- An event as an older version of the code stored it, with the hash of that time.
    SELECT tasklog.move_head(tasklog.append_one(taken, $2, $3, gen_random_uuid(), $4, $5::smallint, $6,
        '{"actor":"alice","nonce":"00","request_id":"old"}'))
    FROM tasklog.take_head($1, true) AS taken
"""


async def plant(owner: asyncpg.Connection, user: str, *event: object) -> None:
    """Append (task, version, type, schema version, data)."""
    await owner.execute(PLANT, user, *event)


@pytest.fixture
async def old_task(owner: asyncpg.Connection, writer: Database) -> int:
    """Return a task that began with version 1 of `task.created`, without a description, and is still in use."""
    task: int = await owner.fetchval("SELECT nextval('tasklog.task_ids')")
    await plant(owner, "alice", task, 1, "task.created", 1, '{"title":"Of old"}')
    await appended(writer, of("alice", TaskCompleted(), task=task, expected=1))
    return task


@pytest.mark.parametrize("projected", [False, True], ids=["from the ledger", "from the projection"])
async def test_a_task_of_old_is_read_like_any_other(
    old_task: int, projector: Database, reader: Database, projected: bool
) -> None:
    if projected:
        assert await catch_up(projector) == 2
    (task,) = json.loads((await list_tasks(reader, "alice", TaskQuery())).body)
    assert (task["id"], task["title"], task["description"], task["completed"]) == (old_task, "Of old", None, True)
    (found,) = await get_tasks(reader, [("alice", old_task)])
    assert isinstance(found, TaskBody)
    assert json.loads(found.body) == task


async def test_its_history_shows_it_as_it_is_stored_and_what_it_meant(old_task: int, reader: Database) -> None:
    page = await history(reader, "alice", HistoryQuery(task_id=old_task))
    assert page is not None
    first, second = json.loads(page.body)["events"]
    assert (first["schema_version"], first["data"]) == (1, '{"title":"Of old"}')
    assert {"field": "title", "from": None, "to": "Of old"} in first["changes"]
    assert {"field": "description", "from": None, "to": None} in first["changes"]
    assert second["changes"] == [{"field": "completed", "from": False, "to": True}]


async def test_it_is_replayed_verified_and_rebuilt_and_never_rewritten(
    old_task: int, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    stored = await owner.fetch("SELECT e::text FROM tasklog.events e ORDER BY position")
    (task,) = json.loads((await list_tasks_as_of(reader, "alice", TaskQuery(), 1)).body)
    assert (task["title"], task["description"], task["completed"]) == ("Of old", None, False)
    await catch_up(projector)
    report = await verify(projector)
    assert (report.events, report.tasks, report.faults) == (2, 1, [])
    before = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    await request_rebuild(projector)
    assert (await rebuild(projector)).failed == {}
    assert await tasks_copy(owner) == before
    assert await owner.fetch("SELECT e::text FROM tasklog.events e ORDER BY position") == stored


UNREADABLE = {
    "a type of the future": ("task.shared", 1, '{"with":"bob"}', "no event 'task.shared' with schema version 1"),
    "a schema of the future": ("task.created", 99, '{"title":"x"}', "no event 'task.created' with schema version 99"),
    "no schema": ("task.created", 0, '{"title":"x"}', "no event 'task.created' with schema version 0"),
    "other data": ("task.created", 2, '{"name":"Secret"}', "the data of an event 'task.created' do not match"),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_event_nobody_can_read_parks_its_user_with_a_clear_message_and_nobody_else(
    writer: Database, projector: Database, reader: Database, owner: asyncpg.Connection, name: str
) -> None:
    kind, schema_version, data, message = UNREADABLE[name]
    await created(writer, "alice")
    await plant(
        owner, "alice", await owner.fetchval("SELECT nextval('tasklog.task_ids')"), 1, kind, schema_version, data
    )
    await created(writer, "alice", "Behind it")
    await created(writer, "bob")
    await catch_up(projector)

    found = await status(projector, None)
    assert (found.parked_users, found.lag_events) == (1, 0)
    (parked,) = found.parked
    assert (parked.user_id, parked.position, parked.attempts) == ("alice", 2, 1)
    assert parked.error.startswith(f"position 2: {message}")
    assert "Secret" not in parked.error
    assert json.loads((await list_tasks(reader, "bob", TaskQuery())).body)
    await created(writer, "bob")
    assert await catch_up(projector) == 1
    assert (await verify(projector)).faults == []
    page = await history(reader, "alice", HistoryQuery())
    assert page is not None
    assert [event["type"] for event in json.loads(page.body)["events"]] == ["task.created", kind, "task.created"]


async def test_an_erasure_is_no_event_of_a_task(
    owner: asyncpg.Connection, writer: Database, projector: Database
) -> None:
    await created(writer, "alice")
    await owner.execute("SELECT tasklog.erase('alice', 'a', 'r')")
    await owner.execute(
        "UPDATE tasklog.checkpoints SET position = 0; UPDATE tasklog.streams SET unprojected_since = now()"
    )
    assert await catch_up(projector) == 3
    kinds = await owner.fetch("SELECT type FROM tasklog.events ORDER BY position")
    assert [row[0] for row in kinds] == ["task.created", "task.deleted", STREAM_ERASED]

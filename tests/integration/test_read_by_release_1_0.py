"""What services of release 1.0 read: events and tasks as 1.0 knows them, and nobody stays parked whom 1.0 parked.

Seen to fail: with data passed on as they are, with schema versions passed on, with everything up to the last text that
looks like a member cut off, with a projector that waits until the parked user's time has come, and with a rebuild that
takes the word of 1.0 for it that a user cannot be replayed.
"""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from domain.events import TaskCompleted, TaskCreated, TaskEdited
from projector.catch_up import catch_up
from projector.rebuild import faults, rebuild
from projector.rebuild_statements import MARK_OTHER_FORMATS
from runtime.database import Database
from tests.ledger import appended, of, projected

OF_1_0 = {"id", "user_id", "title", "description", "completed", "created_at", "updated_at"}
TEXT = ',"priority":"x","status":"pending"}'
ALL: dict[str, Any] = {
    "due_date": "2026-03-01",
    "priority": TEXT,
    "tags": (TEXT, '"status":"completed"'),
    "category": TEXT,
}
READ = {
    "task_events": "SELECT * FROM tasklog.task_events('{alice}', ARRAY[$1::bigint], '{0}')",
    "events_between": "SELECT * FROM tasklog.events_between('alice', NULL, 0, 9, 9) WHERE $1::bigint IS NOT NULL",
    "events_between of a task": "SELECT * FROM tasklog.events_between('alice', $1, 0, 9, 9)",
}
PARKED_BY_1_0 = """
    UPDATE tasklog.checkpoints SET attempts = 9, parked_until = now() + interval '5 minutes',
        error = 'position 1: no event ''task.created'' with schema version 3 is known'
"""
FAULT_OF_1_0 = """
    UPDATE tasklog.checkpoints SET fault_position = 1,
        fault_reason = 'no event ''task.created'' with schema version 3 is known'
"""
STORED = [
    (2, {"title": TEXT, "description": None}),
    (1, {"title": "b", "description": TEXT}),
    (1, {}),
    (1, {}),
]


@pytest.fixture
async def task(writer: Database) -> int:
    """Return a task that was created, edited and completed with fields that 1.0 does not know."""
    ((created,),) = await appended(writer, of("alice", TaskCreated(title=TEXT, **ALL)))
    edits = TaskEdited(title="b", description=TEXT, tags=("new",)), TaskEdited(category=None), TaskCompleted()
    await appended(writer, of("alice", *edits, task=created.task_id, expected=1))
    return created.task_id


@pytest.mark.parametrize("function", READ)
async def test_events_have_the_schema_versions_and_members_that_1_0_knows(
    writer: Database, reader: Database, task: int, function: str
) -> None:
    rows = await (writer if function == "task_events" else reader).fetch(READ[function], task)
    assert [(row["schema_version"], json.loads(row["data"])) for row in rows] == STORED
    assert [row["version"] for row in rows] == [1, 2, 3, 4]


async def test_a_tail_has_them_too(reader: Database, task: int) -> None:
    (listed,) = await reader.fetch("SELECT tail FROM tasklog.list_tasks('alice', NULL, 'created', NULL, NULL, NULL)")
    (single,) = await reader.fetch("SELECT tail FROM tasklog.get_task('alice', $1)", task)
    for row in (listed, single):
        tail = json.loads(row["tail"])
        assert [(event["schema_version"], json.loads(event["data"])) for event in tail] == STORED
        assert [event["position"] for event in tail] == [1, 2, 3, 4]


async def test_a_projected_task_has_the_members_that_1_0_knows(
    writer: Database, reader: Database, projector: Database, task: int
) -> None:
    await appended(writer, of("alice", TaskCreated(title=TEXT, description=TEXT)))
    await catch_up(projector)
    (whole,) = await reader.fetch("SELECT body FROM tasklog.list_tasks('alice', NULL, 'created', NULL, NULL, NULL)")
    (paged,) = await reader.fetch("SELECT page FROM tasklog.list_tasks('alice', NULL, 'created', NULL, NULL, 5)")
    (single,) = await reader.fetch("SELECT body, version FROM tasklog.get_task('alice', $1)", task)
    newer, older = json.loads(whole["body"])
    assert [json.loads(body) for _, _, body in json.loads(paged["page"])] == [newer, older]
    assert (json.loads(single["body"]), single["version"]) == (older, 4)
    assert newer.keys() == older.keys() == OF_1_0
    assert (newer["title"], newer["description"], newer["completed"]) == (TEXT, TEXT, False)
    assert (older["id"], older["title"], older["description"], older["completed"]) == (task, "b", TEXT, True)


async def test_an_erased_event_stays_erased(owner: asyncpg.Connection, reader: Database, task: int) -> None:
    await owner.execute("SELECT tasklog.erase('alice', 'operator', 'request')")
    rows = await reader.fetch(READ["events_between of a task"], task)
    assert [row["data"] for row in rows] == [None, None, None, None, "{}"]
    assert [row["schema_version"] for row in rows] == [2, 1, 1, 1, 1]


async def test_a_user_whom_a_projector_of_1_0_parked_is_taken_up_at_once(
    owner: asyncpg.Connection, projector: Database, task: int
) -> None:
    await projector.fetch("INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('alice', 0)")
    await owner.execute(PARKED_BY_1_0)
    assert await catch_up(projector) == 4
    assert (await projected(owner))["alice"] == {task: ("b", True, 4)}
    assert await owner.fetchval("SELECT parked_until FROM tasklog.checkpoints") is None


async def test_an_event_that_nobody_knows_is_not_tried_again_and_again_because_1_0_parked_its_user(
    owner: asyncpg.Connection, projector: Database, task: int
) -> None:
    await projector.fetch("INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('alice', 0)")
    await owner.execute("UPDATE tasklog.events SET schema_version = 9 WHERE position = 1")
    await owner.execute(PARKED_BY_1_0)
    assert await catch_up(projector) == 0
    error, waits = await owner.fetchrow("SELECT error, parked_until > now() FROM tasklog.checkpoints")
    assert (error.endswith("is known to this release"), waits) == (True, True)


async def test_a_user_whom_a_rebuild_of_1_0_could_not_replay_is_rebuilt(
    owner: asyncpg.Connection, projector: Database, task: int
) -> None:
    await catch_up(projector)
    await owner.execute(FAULT_OF_1_0)
    await projector.fetch(MARK_OTHER_FORMATS, "", "\U0010ffff")
    assert (await rebuild(projector)).failed == {}
    assert await faults(projector) == {}

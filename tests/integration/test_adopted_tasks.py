"""Adopted tasks afterwards: history, time travel, undo, erasure, exports, feeds and services of release 1.0.

Seen to fail: with an adoption undone like a creation, passed on to 1.0 as it is, and called pending by a history; with
one that must have been pending before it is reopened; and with data in an export that are not canonical.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from audit.export import export
from audit.export_file import verify_file
from audit.export_line import ExportError
from audit.import_ import import_
from audit.verify import verify
from command_api.queues import CommandQueues
from command_api.undo import UndoRequest, undo
from domain.events import TaskCompleted, TaskDeleted, TaskEdited, TaskReopened
from domain.undo import CannotUndoError
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from read_api.changes import changes
from read_api.explain import explain
from read_api.history import HistoryQuery, history
from read_api.queries import TaskQuery
from read_api.time_travel import list_tasks_as_of, moment
from read_model.bookmark import Bookmark
from runtime.database import Database, open_database
from runtime.settings import Settings
from tests.adoption import OLD, ROWS, adopted, body_of, listed
from tests.exports import event, lines_of, write_export
from tests.ledger import appended, connections, copy_of, of
from tests.servers import Database as Addresses
from tests.servers import Servers


@pytest.fixture
def empty(servers: Servers) -> Iterator[Addresses]:
    """Yield another ledger without any events."""
    with servers.cloned() as other:
        yield other


async def test_the_past_before_an_adoption_is_empty_and_its_history_tells_what_came(
    source: asyncpg.Connection, database: Addresses, keeper: Database, reader: Database
) -> None:
    await adopted(database, keeper)
    assert (await list_tasks_as_of(reader, "alice", TaskQuery(), 0)).body == b"[]"
    before = await moment(reader, "alice", OLD.astimezone() + timedelta(days=30))
    assert before.position == 0
    now = json.loads((await list_tasks_as_of(reader, "alice", TaskQuery(), 2)).body)
    assert now == [body_of(ROWS[0]), body_of(ROWS[1])]
    explained = json.loads(await explain(reader, "alice", 2) or b"")
    assert (explained["command"], explained["state_before"]["kind"]) == (None, "none")
    assert explained["state_after"]["task"]["title"] == "Milk"
    page = await history(reader, "alice", HistoryQuery())
    assert page is not None
    older, newer = json.loads(page.body)["events"]
    assert (older["type"], newer["type"], newer["actor"]) == ("task.adopted", "task.adopted", "operator test")
    assert newer["changes"] == [
        {"field": "title", "from": None, "to": "Milk"},
        {"field": "description", "from": None, "to": "two litres"},
        {"field": "completed", "from": None, "to": True},
    ]
    assert older["changes"][2] == {"field": "completed", "from": None, "to": False}


async def test_adopted_tasks_are_changed_deleted_and_restored_like_others_but_adoptions_stay(  # noqa: PLR0913, PLR0917
    source: asyncpg.Connection,
    database: Addresses,
    keeper: Database,
    writer: Database,
    reader: Database,
    projector: Database,
    queue: CommandQueues,
) -> None:
    await adopted(database, keeper)
    with pytest.raises(CannotUndoError, match="There is nothing left to undo"):
        await undo(writer, queue, UndoRequest(user_id="alice", position=None, request_id="r"))
    with pytest.raises(CannotUndoError, match="At position 2 the task came from another backend") as refused:
        await undo(writer, queue, UndoRequest(user_id="alice", position=2, request_id="r"))
    assert refused.value.positions == (2,)
    await appended(writer, of("alice", TaskReopened(), task=7, expected=1))
    await appended(writer, of("alice", TaskEdited(title="Oat"), task=7, expected=2))
    await appended(writer, of("alice", TaskDeleted(), task=7, expected=3))
    await catch_up(projector)
    assert [task["id"] for task in await listed(reader, "alice")] == [9]
    for _ in range(3):
        await undo(writer, queue, UndoRequest(user_id="alice", position=None, request_id="r"))
        await catch_up(projector)
    back = (await listed(reader, "alice"))[0]
    assert (back["title"], back["completed"], back["created_at"]) == ("Milk", True, body_of(ROWS[0])["created_at"])
    assert (await verify(projector)).faults == []


async def test_an_export_with_adoptions_verifies_and_comes_back_as_it_was(  # noqa: PLR0913, PLR0917
    source: asyncpg.Connection,
    database: Addresses,
    keeper: Database,
    projector: Database,
    empty: Addresses,
    settings: Settings,
    tmp_path: Path,
) -> None:
    await adopted(database, keeper)
    with (tmp_path / "export").open("wb") as out:
        await export(projector, out)
    assert verify_file(tmp_path / "export").faults == []
    there = settings.model_copy(update={"database_url": SecretStr(empty.owner)})
    async with open_database(there, "owner") as opened, connections(empty.owner, 1) as (other,):
        assert await import_(opened, tmp_path / "export") == 3
        expected = await copy_of(source, "events", "user_id, position")
        assert await copy_of(other, "events", "user_id, position") == expected


@pytest.mark.parametrize(
    "data",
    [
        '{"created_at":"2025-03-04T05:06:07Z","description":null,"tags":[],"title":"a","updated_at":"2025-03-04T05:06:07Z"}',
        '{"created_at":"2025-03-04T05:06:07.0Z","description":null,"title":"a","updated_at":"2025-03-04T05:06:07Z"}',
        """{"completed_at":null,"created_at":"2025-03-04T05:06:07Z","description":null,"title":"a",\
"updated_at":"2025-03-04T05:06:07Z"}""",
        '{"created_at":"2025-03-04T05:06:07Z","description":null,"title":" ","updated_at":"2025-03-04T05:06:07Z"}',
    ],
)
def test_an_export_with_an_adoption_that_nobody_could_have_written_is_refused(tmp_path: Path, data: str) -> None:
    write_export(tmp_path / "export", lines_of([event("alice", 1, 1, 1, "task.adopted", data=data)]))
    with pytest.raises(ExportError, match=r"^line 1 (has data that no adoption|has a title that no|cannot be read)"):
        verify_file(tmp_path / "export")


async def test_an_erased_adoption_still_verifies_and_replays(
    source: asyncpg.Connection, database: Addresses, keeper: Database, writer: Database, projector: Database
) -> None:
    await adopted(database, keeper)
    await appended(writer, of("alice", TaskReopened(), task=7, expected=1))
    await appended(writer, of("alice", TaskCompleted(), task=9, expected=1))
    await source.execute("SELECT tasklog.erase('alice', 'operator', 'request')")
    await catch_up(projector)
    assert b"Milk" not in await copy_of(source, "events", "user_id, position")
    assert (await verify(projector)).faults == []
    await request_rebuild(projector)
    assert (await rebuild(projector)).failed == {}


async def test_the_feed_of_changes_has_adopted_tasks(
    source: asyncpg.Connection, database: Addresses, keeper: Database, reader: Database, projector: Database
) -> None:
    await adopted(database, keeper)
    for _ in range(2):
        (found,) = await changes(reader, [("alice", Bookmark(position=0, hash_prefix="", repair=""), 100)])
        assert not isinstance(found, Exception)
        assert json.loads(found.body)["tasks"] == [body_of(ROWS[1]), body_of(ROWS[0])]
        await catch_up(projector)


async def test_services_of_1_0_read_an_adoption_as_a_creation(
    source: asyncpg.Connection, database: Addresses, keeper: Database, writer: Database, reader: Database
) -> None:
    await adopted(database, keeper)
    ((row,)) = await writer.fetch("SELECT * FROM tasklog.task_events('{bob}', '{8}', '{0}')")
    assert (row["type"], row["schema_version"], json.loads(row["data"])) == (
        "task.created",
        2,
        {"title": "Bread", "description": None},
    )
    (list_of_1_0,) = await reader.fetch("SELECT * FROM tasklog.list_tasks('bob', NULL, 'created', NULL, NULL, NULL)")
    (tail,) = json.loads(list_of_1_0["tail"])
    assert (tail["type"], tail["schema_version"]) == ("task.created", 2)
    (between,) = await reader.fetch("SELECT * FROM tasklog.events_between('bob', NULL, 0, 9, 9)")
    assert (between["type"], between["schema_version"]) == ("task.created", 2)

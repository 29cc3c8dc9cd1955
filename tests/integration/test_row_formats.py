"""Rows that another version wrote in its format: they are not read, are no fault, and are rebuilt from the ledger.

Seen to fail: with a format without `mended_at`, with stored bodies read in any format, with ADVANCE marking any user
as in this version's format, with `verify` comparing the rows of other formats, with MARK_OTHER_FORMATS marking for
any version and users that cannot be replayed, and with an erasure that leaves the format as it was.
"""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from audit.status import status
from audit.verify import verify
from command_api.known_states import KnownStates
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, EditTask, RestoreTask
from projector.catch_up import catch_up
from projector.rebuild import faults, left, rebuild
from projector.rebuild_statements import MARK_OTHER_FORMATS
from projector.worker import look_after_streams, rebuild_when_idle
from read_api.queries import heads
from runtime.database import Database
from tests.integration.answers import answers, assert_right, live
from tests.ledger import tasks_copy
from tests.model import Model
from tests.servers import eventually_async

HISTORY: list[tuple[Command, int]] = [
    (CreateTask(title="Milk", description="two litres"), 0),
    (CreateTask(title="Äpfel"), 0),
    (CreateTask(title="Zebra"), 0),
    (CompleteTask(), 1),
    (CreateTask(title="gone"), 0),
    (DeleteTask(), 3),
    (CreateTask(title="back"), 0),
    (DeleteTask(), 4),
    (RestoreTask(), 4),
    (EditTask(title="a"), 2),
    (CreateTask(title="Due", due_date="2026-03-01", priority="HIGH", tags=("home", "Straße"), category="Work"), 0),
]
TAIL: list[tuple[Command, int]] = [
    (EditTask(description="new"), 0),
    (CreateTask(title="b"), 0),
    (RestoreTask(), 3),
]
OTHERS = (
    "UPDATE tasklog.tasks SET title = 'old', title_key = 'old', body = '{\"old\": true}', completed = NOT completed"
)
HOW = {
    "before there were formats": "UPDATE tasklog.checkpoints SET row_format = NULL",
    "in another version's format": "UPDATE tasklog.checkpoints SET row_format = 'f0f0 at ' || position",
    "by a projector of 1.0, which moves the position": """
        UPDATE tasklog.checkpoints c SET position = s.head FROM tasklog.streams s WHERE s.user_id = c.user_id;
        UPDATE tasklog.streams SET unprojected_since = NULL""",
    "by a rebuild of 1.0, which says when it mended": "UPDATE tasklog.checkpoints SET mended_at = clock_timestamp()",
}
FORMATS = "SELECT DISTINCT row_format FROM tasklog.checkpoints"
EVERYBODY = ("", "\U0010ffff")


@pytest.fixture
async def model(writer: Database, projector: Database) -> Model:
    """A user with tasks that are projected in this version's format."""
    model = Model("alice")
    await live(model, writer, KnownStates(), HISTORY)
    await catch_up(projector)
    return model


@pytest.mark.parametrize("how", HOW)
async def test_rows_of_another_format_are_not_read_whoever_wrote_them(
    model: Model, writer: Database, reader: Database, owner: asyncpg.Connection, how: str
) -> None:
    await live(model, writer, KnownStates(), TAIL)
    right = await answers(reader, model, 2)
    await assert_right(right, model, owner, 2)
    await owner.execute(OTHERS)
    await owner.execute(HOW[how])
    assert await answers(reader, model, 2) == right


async def test_reads_are_right_while_events_are_projected_over_rows_of_another_format(
    model: Model, writer: Database, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(OTHERS)
    await owner.execute(HOW["in another version's format"])
    await live(model, writer, KnownStates(), TAIL)
    await catch_up(projector)
    assert [row[0] for row in await owner.fetch(FORMATS)] == [None]
    await assert_right(await answers(reader, model, 2), model, owner, 2)


async def test_idle_projectors_make_the_rows_anew_which_is_no_fault_and_changes_no_tag(
    model: Model, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    right, tags = await tasks_copy(owner), await heads(reader, [model.user])
    await owner.execute(OTHERS)
    await owner.execute(HOW["before there were formats"])
    report = await verify(projector)
    assert (report.faults, report.other_formats) == ([], 1)
    assert (await status(projector, None)).users_in_other_formats == 1

    async def is_done() -> bool:
        return (await status(projector, None)).users_in_other_formats == 0

    idle = asyncio.Event()
    idle.set()
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            work = [look_after_streams(projector), rebuild_when_idle(projector, idle)]
            beside = [group.create_task(task) for task in work]
            await eventually_async(is_done)
            await eventually_async(lambda: logs)  # written after the commit
            for task in beside:
                task.cancel()
    assert await tasks_copy(owner) == right
    assert await heads(reader, [model.user]) == tags
    assert [(entry["log_level"], entry["rows"]) for entry in logs] == [("info", len(model.tasks))]
    report = await verify(projector)
    assert (report.faults, report.other_formats) == ([], 0)
    assert await left(projector) == (0, 0)


async def test_a_task_that_is_missing_or_at_another_version_is_a_fault_in_every_format(
    model: Model, projector: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(HOW["before there were formats"])
    for damage in ("UPDATE tasklog.tasks SET version = version + 1", "DELETE FROM tasklog.tasks"):
        await owner.execute(f"{damage} WHERE id = {model.ids[0]}")
        assert [fault.user_id for fault in (await verify(projector)).faults] == [model.user]


async def test_projectors_of_an_older_version_leave_the_rows_of_a_newer_one_alone(
    model: Model, projector: Database, owner: asyncpg.Connection
) -> None:
    newer = "CREATE OR REPLACE FUNCTION tasklog.row_format() RETURNS text LANGUAGE sql STABLE AS $$ SELECT {} $$"
    ours = await owner.fetchval("SELECT tasklog.row_format()")
    await owner.execute(HOW["in another version's format"])
    await owner.execute(newer.format("'newer'"))
    await projector.fetch(MARK_OTHER_FORMATS, *EVERYBODY)
    assert await left(projector) == (0, 0)
    await owner.execute(newer.format(f"'{ours}'"))
    await projector.fetch(MARK_OTHER_FORMATS, *EVERYBODY)
    assert (await left(projector))[0] == 1


async def test_who_cannot_be_replayed_is_not_tried_again_and_again(
    model: Model, projector: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("UPDATE tasklog.events SET type = type || '?' WHERE position = 3")
    await owner.execute(HOW["before there were formats"])
    for _ in range(2):
        await projector.fetch(MARK_OTHER_FORMATS, *EVERYBODY)
        await rebuild(projector)
    assert {user: position for user, (position, _) in (await faults(projector)).items()} == {model.user: 3}
    await projector.fetch(MARK_OTHER_FORMATS, *EVERYBODY)
    assert await left(projector) == (0, 0)


async def test_what_is_new_or_erased_needs_no_renewal(
    model: Model, writer: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    await live(Model("bob"), writer, KnownStates(), HISTORY)
    await catch_up(projector)
    await owner.fetch("SELECT tasklog.erase('alice', 'operator', 'request')")
    await projector.fetch(MARK_OTHER_FORMATS, *EVERYBODY)
    assert await left(projector) == (0, 0)
    assert (await status(projector, None)).users_in_other_formats == 0

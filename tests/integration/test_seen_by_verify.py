"""Verify sees and names what an accident or a superuser does to the schema: rows, heads, the sequence, rights."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from audit.verify import verify
from projector import worker
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from projector.woken import Woken
from runtime.database import Database
from tests.integration.tampering import Tampering, three_streams
from tests.ledger import created
from tests.servers import eventually_async

HEAD = "UPDATE tasklog.streams SET {} WHERE user_id = 'bob'"
TASK_OF_BOB = "(SELECT min(task_id) FROM tasklog.events WHERE user_id = 'bob')"
APPEND_BY_HAND = (
    "SELECT tasklog.move_head(tasklog.append_one(h, {task}, {version}, gen_random_uuid(), '{kind}', {schema}::smallint,"
    " '{data}', tasklog.operator_metadata('eve', 'r'))) FROM tasklog.take_head('{user}', true) AS h"
)


def by_hand(  # noqa: PLR0913, PLR0917 - the columns of an event
    user: str, task: str, version: int, kind: str, data: str = "{}", schema: int = 1
) -> str:
    """Return the statement that appends an event with a right hash, whether the event makes sense or not."""
    return APPEND_BY_HAND.format(user=user, task=task, version=version, kind=kind, data=data, schema=schema)


CREATED = '{"description":null,"title":"Milk"}'
OF_A_USER = {
    "a head's time in 2099": Tampering(6, (HEAD.format("recorded_at = '2099-01-01Z'"),)),
    "a head's time a microsecond early": Tampering(6, (HEAD.format("recorded_at = recorded_at - interval '1 us'"),)),
    "a mark that was cleared": Tampering(
        5,
        (
            "UPDATE tasklog.checkpoints SET position = 5 WHERE user_id = 'bob'",
            "DELETE FROM tasklog.tasks WHERE user_id = 'bob'",
        ),
    ),
    "a task reopened that was not completed": Tampering(7, (by_hand("bob", TASK_OF_BOB, 5, "task.reopened"),)),
    "a task created twice": Tampering(7, (by_hand("bob", TASK_OF_BOB, 5, "task.created", CREATED, 2),)),
    "an edit of a task that is not there": Tampering(7, (by_hand("bob", "99", 1, "task.edited"),)),
    "a version left out": Tampering(7, (by_hand("bob", TASK_OF_BOB, 6, "task.completed"),)),
    "an event without a task": Tampering(7, (by_hand("bob", "NULL", 1, "task.created", CREATED, 2),)),
    "a task with an id that JSON cannot hold": Tampering(
        7, (by_hand("bob", "9007199254740992", 1, "task.created", CREATED, 2),)
    ),
    "another user's task": Tampering(
        7,
        (
            by_hand(
                "bob",
                "(SELECT task_id FROM tasklog.events WHERE user_id = 'alice' AND position = 1)",
                1,
                "task.created",
                CREATED,
                2,
            ),
        ),
    ),
    "a time that runs back": Tampering(
        7,
        (
            HEAD.format("recorded_at = '2020-01-01Z'"),
            by_hand("bob", TASK_OF_BOB, 5, "task.completed").replace(
                "tasklog.take_head('bob', true) AS h", "tasklog.streams AS h WHERE h.user_id = 'bob'"
            ),
        ),
    ),
}


@pytest.fixture
async def ledger(writer: Database, projector: Database) -> Database:
    return await three_streams(writer, projector)


@pytest.mark.parametrize("name", OF_A_USER)
async def test_what_cannot_have_happened_to_a_user_is_named_at_its_position(
    ledger: Database, owner: asyncpg.Connection, name: str
) -> None:
    position, statements = OF_A_USER[name]
    for statement in statements:
        await owner.execute(statement)
    assert [(fault.user_id, fault.position) for fault in (await verify(ledger)).faults] == [("bob", position)]


async def test_a_stream_of_the_user_without_a_name_is_seen(ledger: Database, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO tasklog.streams SELECT (h).* FROM (SELECT tasklog.append_one(h, 77, 1,"
        f" gen_random_uuid(), 'task.created', 2::smallint, '{CREATED}',"
        " tasklog.operator_metadata('eve', 'r')) AS h FROM tasklog.take_head('', true) AS h) AS made"
    )
    report = await verify(ledger)
    assert [(fault.user_id, fault.position) for fault in report.faults if fault.user_id is not None] == [("", 1)]
    assert report.streams == 4


@pytest.mark.parametrize("user", ["", "\U0010ffff" * 600])
async def test_a_row_of_a_user_at_either_end_of_all_names_is_seen_and_removed_by_rebuild(
    ledger: Database, owner: asyncpg.Connection, user: str
) -> None:
    await owner.execute(
        "INSERT INTO tasklog.tasks SELECT $1, 77, title, description, completed, created_at, updated_at, 77, version,"
        " title_key, body FROM tasklog.tasks WHERE user_id = 'bob'",
        user,
    )
    assert [fault.user_id for fault in (await verify(ledger)).faults] == [user]
    await request_rebuild(ledger)
    await rebuild(ledger)
    assert [fault.reason for fault in (await verify(ledger)).faults] == []


async def test_events_of_the_user_without_a_name_are_seen(ledger: Database, owner: asyncpg.Connection) -> None:
    await owner.execute("UPDATE tasklog.events SET user_id = '' WHERE user_id = 'bob' AND position = 6")
    assert {fault.user_id for fault in (await verify(ledger)).faults} == {"", "bob"}


@pytest.mark.parametrize("time", ["infinity", "-infinity", "294000-01-01Z", "0044-03-15Z BC"])
@pytest.mark.parametrize("column", ["tasklog.tasks SET updated_at", "tasklog.events SET recorded_at"])
async def test_a_time_that_no_calendar_of_python_has_is_a_fault_and_no_traceback(
    ledger: Database, owner: asyncpg.Connection, column: str, time: str
) -> None:
    await owner.execute(f"UPDATE {column} = '{time}' WHERE user_id = 'bob'")
    assert [fault.user_id for fault in (await verify(ledger)).faults] == ["bob"]


async def test_a_checkpoint_without_a_stream_is_seen_and_mended_by_rebuild(
    ledger: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('new', 5)")
    assert [(fault.user_id, fault.position) for fault in (await verify(ledger)).faults] == [("new", 1)]
    await request_rebuild(ledger)
    await rebuild(ledger)
    assert (await verify(ledger)).faults == []


async def test_an_idempotency_key_of_what_never_happened_is_seen(ledger: Database, owner: asyncpg.Connection) -> None:
    await owner.execute(
        "INSERT INTO tasklog.idempotency_keys (user_id, key, fingerprint, task_id, version, recorded_at)"
        f" VALUES ('bob', 'k', '', {TASK_OF_BOB}, 4, now())"
    )
    assert (await verify(ledger)).faults == []
    await owner.execute("UPDATE tasklog.idempotency_keys SET version = 9")
    assert [(fault.user_id, "key" in fault.reason) for fault in (await verify(ledger)).faults] == [("bob", True)]


OF_THE_SCHEMA = {
    "sequence task_ids": "ALTER SEQUENCE tasklog.task_ids CYCLE",
    "function mark(bytea)": (
        "CREATE OR REPLACE FUNCTION tasklog.mark(hash bytea) RETURNS text LANGUAGE sql IMMUTABLE AS"
        " $$ SELECT encode(substring($1 FOR 7), 'hex') $$"
    ),
    "function heads(text[])": "ALTER FUNCTION tasklog.heads(text[]) RESET search_path",
    "function get_task(text, bigint)": "ALTER FUNCTION tasklog.get_task SECURITY INVOKER",
    "function moment(text, bigint, timestamp with time zone)": "DROP FUNCTION tasklog.moment",
    "function heads(integer)": "CREATE FUNCTION tasklog.heads(integer) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "function erase(text, text, text)": "GRANT EXECUTE ON FUNCTION tasklog.erase TO tasklog_writer",
    "function tail(text, bigint)": "GRANT EXECUTE ON FUNCTION tasklog.tail TO PUBLIC",
    "schema tasklog": "GRANT CREATE ON SCHEMA tasklog TO tasklog_reader",
    "table checkpoints": "GRANT UPDATE ON tasklog.checkpoints TO tasklog_reader",
    "column streams.hash": "GRANT UPDATE (hash) ON tasklog.streams TO tasklog_projector",
    "right INSERT of pg_monitor on events": "GRANT INSERT ON tasklog.events TO pg_monitor",
    "trigger tasks.late": (
        "CREATE TRIGGER late BEFORE UPDATE ON tasklog.tasks FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "rule streams.nothing": "CREATE RULE nothing AS ON DELETE TO tasklog.streams DO INSTEAD NOTHING",
    "index tasks.tasks_by_title": "DROP INDEX tasklog.tasks_by_title",
    "index tasks.one_title": "CREATE UNIQUE INDEX one_title ON tasklog.tasks (user_id, title, id)",
    "constraint events.events_task_version_key": ("ALTER TABLE tasklog.events DROP CONSTRAINT events_task_version_key"),
    "constraint tasks.short": "ALTER TABLE tasklog.tasks ADD CONSTRAINT short CHECK (length(title) < 500) NOT VALID",
    "column events.hash": "ALTER TABLE tasklog.events ALTER COLUMN hash DROP NOT NULL",
    "column checkpoints.attempts": "ALTER TABLE tasklog.checkpoints ALTER COLUMN attempts SET DEFAULT 7",
    "column tasks.colour": "ALTER TABLE tasklog.tasks ADD COLUMN colour int",
    "column tasks.title": "ALTER TABLE tasklog.tasks ALTER COLUMN title SET STATISTICS 100",
    "table idempotency_keys": "ALTER TABLE tasklog.idempotency_keys SET UNLOGGED",
    "table events": "ALTER TABLE tasklog.events ENABLE ROW LEVEL SECURITY",
}


async def test_whatever_differs_from_what_migrate_installed_is_named(
    ledger: Database, owner: asyncpg.Connection
) -> None:
    for statement in OF_THE_SCHEMA.values():
        await owner.execute(statement)
    faults = await _schema_faults(ledger)
    named = {name for name in OF_THE_SCHEMA if any(reason.startswith(f"{name} ") for reason in faults)}
    assert named == OF_THE_SCHEMA.keys()
    assert [reason for reason in faults if not any(reason.startswith(f"{name} ") for name in named)] == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELECT setval('tasklog.task_ids', 1)", "the sequence task_ids is at 1"),
        ("REVOKE SELECT ON tasklog.events FROM tasklog_projector", "table events "),
        ("DROP INDEX tasklog.events_titles", "index events.events_titles "),
        ("DROP FUNCTION tasklog.heads", "function heads(text[]) "),
        ("COMMENT ON TABLE tasklog.alembic_version IS NULL", "there is no list of what ./run migrate installed"),
    ],
)
async def test_one_fault_of_the_schema_is_all_that_is_named(
    ledger: Database, owner: asyncpg.Connection, statement: str, named: str
) -> None:
    await owner.execute(statement)
    (reason,) = await _schema_faults(ledger)
    assert reason.startswith(named)


async def _schema_faults(ledger: Database) -> list[str]:
    """Return the reasons of faults that belong to no user."""
    faults = [fault for fault in (await verify(ledger)).faults if fault.user_id is None]
    assert {fault.position for fault in faults} <= {None}
    return [fault.reason for fault in faults]


async def test_an_operators_own_table_index_and_vacuum_settings_are_no_faults(
    ledger: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(
        "CREATE TABLE tasklog.mine (id int PRIMARY KEY); CREATE INDEX mine_too ON tasklog.tasks (completed);"
        " ALTER TABLE tasklog.tasks SET (autovacuum_vacuum_scale_factor = 0.01)"
    )
    assert (await verify(ledger)).faults == []


async def test_a_mark_that_was_cleared_is_seen_and_the_projector_finds_it_by_itself(
    ledger: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    await created(writer, "bob", "Eggs")
    await owner.execute("UPDATE tasklog.streams SET unprojected_since = NULL")
    assert await catch_up(ledger) == 0
    assert [(fault.user_id, fault.position) for fault in (await verify(ledger)).faults] == [("bob", 7)]
    await _projected(ledger, owner, 7)
    assert (await verify(ledger)).faults == []


async def test_a_checkpoint_that_was_lost_is_found_by_the_projector_and_changes_the_lists_tags(
    ledger: Database, owner: asyncpg.Connection
) -> None:
    before = await owner.fetchval("SELECT mark FROM tasklog.heads('{bob}')")
    await owner.execute("DELETE FROM tasklog.checkpoints WHERE user_id = 'bob'")
    await _projected(ledger, owner, 6)
    assert (await verify(ledger)).faults == []
    assert await owner.fetchval("SELECT mark FROM tasklog.heads('{bob}')") != before


async def _projected(projector: Database, owner: asyncpg.Connection, position: int) -> None:
    """Let a projector work until bob's checkpoint has this position."""
    stopping = asyncio.Event()

    async def there() -> bool:
        query = "SELECT position FROM tasklog.checkpoints WHERE user_id = 'bob'"
        return bool(await owner.fetchval(query) == position)

    async with asyncio.TaskGroup() as group:
        group.create_task(worker.project_until(stopping, projector, Woken()))
        beside = group.create_task(worker.look_after_streams(projector))
        await eventually_async(there)
        beside.cancel()
        stopping.set()

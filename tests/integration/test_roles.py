"""What each service's role can do, and what the database refuses whatever the code says.

Seen to fail: with one right too many in `migrations/rights.sql` (SELECT on a table for the reader, UPDATE of a whole
stream for the projector, ALL on the idempotency keys for everybody, SELECT on the keys themselves for the projector),
and without `SECURITY DEFINER` on `tasklog.append`.
"""

from __future__ import annotations

import asyncpg
import pytest

from command_api.handle import handle
from command_api.idempotency import Done
from command_api.known_states import KnownStates
from command_api.plan import CommandRequest
from domain.commands import CreateTask, ToggleTask
from domain.task import Task
from projector.catch_up import catch_up
from read_api.queries import TaskQuery, get_tasks
from runtime.database import Database
from tests.ledger import connections, created, list_tasks
from tests.servers import Database as Addresses

ROLES = ("writer", "projector", "reader")
MOVES = ("arrivals", "departures", "arrived_tasks")
TABLES = ("events", "streams", "tasks", "checkpoints", "idempotency_keys", "alembic_version", *MOVES)
STATEMENTS = {
    "SELECT": "SELECT count(*) FROM tasklog.{}",
    "INSERT": "INSERT INTO tasklog.{} SELECT (json_populate_record(NULL::tasklog.{}, '{{}}')).*",
    "UPDATE": "UPDATE tasklog.{} SET {column} = {column}",
    "DELETE": "DELETE FROM tasklog.{}",
    "TRUNCATE": "TRUNCATE tasklog.{}",
    "LOCK": "LOCK TABLE tasklog.{} IN ACCESS EXCLUSIVE MODE",
    "DROP": "DROP TABLE tasklog.{} CASCADE",
    "ALTER": "ALTER TABLE tasklog.{} ADD COLUMN x int",
    "TRIGGER": "CREATE TRIGGER t BEFORE INSERT ON tasklog.{} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}
OWN_TABLES = {(verb, table) for verb in ("INSERT", "UPDATE", "DELETE", "LOCK") for table in ("tasks", "checkpoints")}
READ_BY_PROJECTOR = {("SELECT", table) for table in ("events", "streams", "tasks", "checkpoints", *MOVES)}
# Old keys are deleted: DELETE includes the right to lock, and SELECT on one column the right to count.
OLD_KEYS = {(verb, "idempotency_keys") for verb in ("SELECT", "DELETE", "LOCK")}
ALLOWED = {"writer": set(), "projector": OWN_TABLES | READ_BY_PROJECTOR | OLD_KEYS, "reader": set()}
FUNCTIONS = {
    "writer": {
        "append",
        "append_commands",
        "carried_out",
        "changes_of_task",
        "changes_of_user",
        "event_at",
        "ids_of_new_tasks",
        "latest_events",
        "remembered",
        "task_events",
        "undo_at",
        "whereabouts",
    },
    "projector": {
        "most_bytes",
        "row_format",
        "format_at",
        "is_in_format",
        "keys_without_event",
        "mend_task_ids",
        "latest_events",
        "last_positions",
        "elsewhere",
    },
    "reader": {
        "list_tasks",
        "get_task",
        "heads",
        "compared_heads",
        "history",
        "stored_events",
        "moment",
        "events_between",
        "short_list",
        "short_task",
        "short_tasks",
        "long_list",
        "find_tasks",
        "find_long",
        "count_tasks",
        "bodies",
        "changes",
        "moved",
        "joined_bodies",
        "tasks_at",
        "short_events",
        "texts",
        "trash",
        "elsewhere",
    },
}
FORBIDDEN = [
    "SELECT * FROM tasklog.take_head('alice', true)",
    "SELECT tasklog.move_head(NULL)",
    "SELECT tasklog.erase('alice', 'a', 'r')",
    "SELECT nextval('tasklog.task_ids')",
    "SELECT setval('tasklog.task_ids', 1)",
    "CREATE TABLE tasklog.mine ()",
    "CREATE TABLE public.mine ()",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION tasklog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION tasklog.take_head",
    "COMMENT ON SCHEMA tasklog IS 'mine'",
    "DROP SCHEMA tasklog CASCADE",
    "ALTER ROLE tasklog_writer SUPERUSER",
    "SET ROLE tasklog_eraser",
    "CREATE ROLE mine",
    "COPY (SELECT 1) TO PROGRAM 'true'",
]


async def test_the_writing_role_can_append_and_load(writer: Database) -> None:
    known = KnownStates()
    (made,) = await handle(writer, known, [_request(None, CreateTask(title="Milk"))])
    assert isinstance(made, Done)
    assert isinstance(made.state, Task)
    (toggled,) = await handle(writer, KnownStates(), [_request(made.state.id, ToggleTask())])
    assert isinstance(toggled, Done)
    assert isinstance(toggled.state, Task)
    assert toggled.state.completed


async def test_the_projecting_and_the_reading_role_can_do_their_work(
    writer: Database, projector: Database, reader: Database
) -> None:
    task = await created(writer, "alice")
    assert await catch_up(projector) == 1
    assert (await list_tasks(reader, "alice", TaskQuery())).head.position == 1
    assert await get_tasks(reader, [("alice", task)]) != [None]


def _request(task: int | None, command: CreateTask | ToggleTask) -> CommandRequest:
    return CommandRequest(user_id="alice", task_id=task, command=command, request_id="r")


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_no_right_to_a_table_but_those_it_needs(
    owner: asyncpg.Connection, database: Addresses, role: str
) -> None:
    """Each statement is tried as the role; only a refusal for lack of rights counts."""
    tables = await owner.fetch("SELECT tablename::text FROM pg_tables WHERE schemaname = 'tasklog'")
    assert {row["tablename"] for row in tables} == {*TABLES}, "a table is not covered here"
    done = set()
    async with connections(getattr(database, role), 1) as (connection,):
        for verb, statement in STATEMENTS.items():
            for table in TABLES:
                column = "version_num" if table == "alembic_version" else "user_id"
                if not await _refused(connection, statement.format(table, table, column=column)):
                    done.add((verb, table))
    assert done == ALLOWED[role]


async def test_of_the_ledger_the_projector_may_change_its_mark_alone(database: Addresses) -> None:
    async with connections(database.projector, 1) as (connection,):
        for change in ("head = head + 1", "hash = hash", "recorded_at = now()", "user_id = 'mallory'"):
            assert await _refused(connection, f"UPDATE tasklog.streams SET {change}")
        await connection.execute("UPDATE tasklog.streams SET unprojected_since = NULL")


async def test_of_the_idempotency_keys_the_projector_may_see_the_age_alone(database: Addresses) -> None:
    async with connections(database.projector, 1) as (connection,):
        for column in ("user_id", "key", "fingerprint", "task_id", "version", "*"):
            assert await _refused(connection, f"SELECT {column} FROM tasklog.idempotency_keys")
        await connection.execute("DELETE FROM tasklog.idempotency_keys WHERE recorded_at < now()")


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_call_its_own_functions_and_no_other(
    owner: asyncpg.Connection, database: Addresses, role: str
) -> None:
    """The database is asked about every function there is, also internal ones and those of other services."""
    rows = await owner.fetch(
        "SELECT proname::text, has_function_privilege($1, oid, 'EXECUTE') AS may FROM pg_proc"
        " WHERE pronamespace = 'tasklog'::regnamespace",
        f"tasklog_{role}",
    )
    assert {row["proname"] for row in rows if row["may"]} == FUNCTIONS[role]
    assert {"take_head", "move_head", "append_one", "erase"} <= {row["proname"] for row in rows if not row["may"]}


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_neither_change_the_schema_nor_reach_inside(database: Addresses, role: str) -> None:
    async with connections(getattr(database, role), 1) as (connection,):
        assert [statement for statement in FORBIDDEN if not await _refused(connection, statement)] == []


async def test_no_role_has_a_power_over_the_server(owner: asyncpg.Connection) -> None:
    powers = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolinherit"
    rows = await owner.fetch(f"SELECT rolname::text, {powers} AS power FROM pg_roles WHERE rolname ~ '^tasklog_'")
    assert {row["rolname"] for row in rows} == {f"tasklog_{role}" for role in (*ROLES, "eraser")}
    assert not [row["rolname"] for row in rows if row["power"]]


async def _refused(connection: asyncpg.Connection, statement: str) -> bool:
    """Return whether the role lacks the right; any other error comes after the check of rights."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    except asyncpg.IntegrityConstraintViolationError:
        return False
    finally:
        await transaction.rollback()
    return False

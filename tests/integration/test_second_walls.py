"""Behind the code's own WHERE: what the database lets a service see, shadow and be.

Seen to fail: with `WHERE t.user_id = owner` left out of one branch of tasklog.list_tasks; without the `search_path` of
any function (the session's code ran as the owner); with EXECUTE on the functions, USAGE of the sequence or SELECT of
one column left to PUBLIC; without the check of the login.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from domain.events import TaskCreated, TaskEdited
from projector.catch_up import catch_up
from read_model.formats import ROW_FORMAT
from runtime.database import Database, open_database
from runtime.database_url import URL_OF_ROLE, Role
from runtime.settings import Settings, SettingsError
from tests.integration.second_verifier import first_bad_position
from tests.ledger import appended, connections, created, of, positions
from tests.servers import Database as Addresses

MARK = "the-text-of-mallory"
READS: dict[str, tuple[Any, ...]] = {
    "heads": (["alice"],),
    "compared_heads": (["alice"], [0], [""]),
    "history": ("alice", None, None, 0, 100),
    "moment": ("alice", 0, None),
    "events_between": ("alice", None, 0, 100, 100),
    "list_tasks": ("alice", None, "created", None, None, None),
    "short_list": ("alice", None, "created", None, None, None, 100_000, ROW_FORMAT),
    "long_list": ("alice", None, "created", None, None, None, ROW_FORMAT),
    "find_tasks": ("alice", *[None] * 5, "due", None, None, None, 100_000, ROW_FORMAT),
    "find_long": ("alice", *[None] * 5, "due", None, None, None, ROW_FORMAT),
    "count_tasks": ("alice", 0, ROW_FORMAT),
    "short_events": ("alice", 0, 100, 100),
    "stored_events": ("alice", 0, 100),
    "changes": ("alice", 0, 100, 100, 100_000, ROW_FORMAT),
    "moved": ("alice", "0 "),
    "texts": ("alice", [1, 2, 3]),
    "trash": ("alice", None, 100),
    "elsewhere": ("alice",),
}
TASK_READS: dict[str, Any] = {
    "get_task": lambda task: ("alice", task),
    "short_task": lambda task: ("alice", task, 100_000, ROW_FORMAT),
    "short_tasks": lambda task: (["alice"], [task], 100_000, ROW_FORMAT),
    "bodies": lambda task: ("alice", [task], [1], ROW_FORMAT),
    "joined_bodies": lambda task: ("alice", [task], [1], ROW_FORMAT),
    "tasks_at": lambda task: ("alice", [task], 100),
    "history": lambda task: ("alice", task, None, 0, 100),
    "events_between": lambda task: ("alice", task, 0, 100, 100),
}
LISTS = [
    ("alice", wanted, sort, key, number, size)
    for wanted in (None, False)
    for sort in ("created", "title")
    for size in (None, 5)
    for key, number in ((None, None), ("a", 2**62) if sort == "title" else (None, 2**62))
]
APPEND = """
    -- A creation as event_log/append.py sends it, but without casts, for which the session would use its own types.
    SELECT * FROM tasklog.append(
        '{0}', '{alice}', '{NULL}', '{1}', ARRAY[gen_random_uuid()], '{task.created}', '{2}',
        ARRAY['{"description":null,"title":"Milk"}'], ARRAY['{"actor":"alice","nonce":"00","request_id":"test"}'],
        '{NULL}', '{NULL}', true)
"""
GRANTED = """
    SELECT p.proname::text FROM pg_proc p
    WHERE p.pronamespace = 'tasklog'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE')
"""


@pytest.fixture
async def mallorys_task(writer: Database, projector: Database) -> int:
    """Create tasks of Alice and Mallory; some of their events are projected, some are not."""
    tasks = {user: await created(writer, user, MARK if user == "mallory" else "Milk") for user in ("alice", "mallory")}
    await catch_up(projector)
    for user, task in tasks.items():
        text = MARK if user == "mallory" else "Milk"
        await appended(writer, of(user, TaskEdited(description=text), task=task, expected=1))
        await appended(writer, of(user, TaskCreated(title=text, description=text)))
    return tasks["mallory"]


@pytest.mark.parametrize("projected", [False, True])
async def test_no_function_of_the_reading_role_shows_anothers_text(
    reader: Database, projector: Database, owner: asyncpg.Connection, mallorys_task: int, projected: bool
) -> None:
    """Called as for Alice, and as if Alice asked for Mallory's task, without the code in between."""
    if projected:
        await catch_up(projector)
    calls = [*READS.items(), *((name, make(mallorys_task)) for name, make in TASK_READS.items())]
    for arguments in LISTS:
        calls.append(("list_tasks", arguments))
        for row_format in (ROW_FORMAT, "other"):
            calls.append(("long_list", (*arguments, row_format)))
            calls.append(("short_list", (*arguments, 100_000, row_format)))
            found = (*arguments[:2], None, None, None, None, *arguments[2:])
            calls.append(("find_tasks", (*found, 100_000, row_format)))
            calls.append(("find_long", (*found, row_format)))
            calls.append(("count_tasks", ("alice", 0, row_format)))
    granted = {row[0] for row in await owner.fetch(GRANTED, "tasklog_reader")}
    assert granted == {name for name, _ in calls}, "a function is not covered here"
    for name, arguments in calls:
        rows = await reader.fetch(_call(name, arguments), *arguments)
        assert MARK not in repr(rows), (name, arguments)
        assert "mallory" not in repr(rows), (name, arguments)


@asynccontextmanager
async def shadowing(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a session whose own tables and types come before all others. Using such a type runs its code.

    Functions and operators need no shadow: Postgres never looks for them where a session may create any.
    """
    shadows = [
        "CREATE TEMP TABLE tasks (user_id text, id bigint, body text)",
        "CREATE TEMP TABLE events AS SELECT 'mallory'::text AS user_id, 1::bigint AS position",
        "CREATE FUNCTION pg_temp.run() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'as %', current_user; END $$",
        "CREATE DOMAIN pg_temp.json AS pg_catalog.json CHECK (pg_temp.run())",
        "CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (pg_temp.run())",
        "SET LOCAL search_path = pg_temp, tasklog, pg_catalog",
    ]
    async with connections(url, 1) as (connection,), connection.transaction():
        await connection.fetch("SELECT '{}'::bigint[], '{}'::integer[]")  # asyncpg caches these types
        for statement in shadows:
            await connection.execute(statement)
        with pytest.raises(asyncpg.RaiseError):
            async with connection.transaction():
                await connection.execute("SELECT '{}'::text")
        yield connection


@pytest.mark.parametrize("projected", [False, True])
async def test_what_a_reading_session_makes_for_itself_shadows_nothing(
    database: Addresses, reader: Database, projector: Database, mallorys_task: int, projected: bool
) -> None:
    """The owner's functions answer as in any session. The projector needs no such test: it may call none of them."""
    if projected:
        await catch_up(projector)
    calls = [*READS.items(), *((name, make(mallorys_task)) for name, make in TASK_READS.items())]
    async with shadowing(database.reader) as connection:
        for name, arguments in calls:
            mallory = ["mallory"] if isinstance(arguments[0], list) else "mallory"
            query, whose = _call(name, arguments), (mallory, *arguments[1:])
            assert await connection.fetch(query, *whose) == await reader.fetch(query, *whose)


async def test_what_a_writing_session_makes_for_itself_shadows_nothing(
    database: Addresses, owner: asyncpg.Connection, mallorys_task: int
) -> None:
    query = f"SELECT * FROM tasklog.task_events(ARRAY[$1], '{{{mallorys_task}}}', '{{0}}')"
    async with shadowing(database.writer) as connection:
        assert await connection.fetch(query, "alice") == []
        assert len(await connection.fetch(query, "mallory")) == 2
        await connection.execute(APPEND)
    assert await positions(owner, "alice") == [1, 2, 3, 4]
    assert await first_bad_position(owner, "alice") is None


def _call(name: str, arguments: tuple[Any, ...]) -> str:
    places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
    return f"SELECT * FROM tasklog.{name}({places})"


async def test_every_function_that_acts_as_the_owner_fixes_its_search_path(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        "SELECT proname::text, proconfig FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace AND prosecdef"
    )
    assert {
        row["proname"] for row in rows if "search_path=pg_catalog, pg_temp" not in (row["proconfig"] or ())
    } == set()
    assert len(rows) > 5


async def test_nobody_else_may_anything(owner: asyncpg.Connection) -> None:
    """PUBLIC has no right to our functions, tables, columns, sequences or schema."""
    await owner.execute("CREATE ROLE tasklog_test_nobody")
    try:
        rows = await owner.fetch(
            "SELECT oid::regprocedure::text AS name FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace"
            " AND has_function_privilege('tasklog_test_nobody', oid, 'EXECUTE')"
            " UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'tasklog'::regnamespace AND CASE"
            " WHEN relkind IN ('r', 'v', 'm', 'p', 'f') THEN"
            " has_table_privilege('tasklog_test_nobody', oid, $1)"
            " OR has_any_column_privilege('tasklog_test_nobody', oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
            " WHEN relkind = 'S' THEN has_sequence_privilege('tasklog_test_nobody', oid, 'USAGE, SELECT, UPDATE') END",
            "SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER",
        )
        assert [row["name"] for row in rows] == []
        assert not await owner.fetchval("SELECT has_schema_privilege('tasklog_test_nobody', 'tasklog', 'USAGE')")
    finally:
        await owner.execute("DROP ROLE tasklog_test_nobody")


async def test_a_service_role_is_in_no_other_role_and_owns_nothing(owner: asyncpg.Connection) -> None:
    memberships = await owner.fetch(
        "SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members"
        " WHERE member::regrole::text LIKE 'tasklog\\_%'"
    )
    assert memberships == []
    owned = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relowner::regrole::text LIKE 'tasklog\\_%'"
        " UNION ALL SELECT proname FROM pg_proc WHERE proowner::regrole::text LIKE 'tasklog\\_%'"
    )
    assert owned == []


@pytest.mark.parametrize("shared", [False, True], ids=["its own login", "the owner's, and then the service's role"])
@pytest.mark.parametrize("role", URL_OF_ROLE)
async def test_a_superuser_as_a_service_is_refused_unless_allowed(
    database: Addresses, role: Role, shared: bool
) -> None:
    setting = "database_url" if shared else URL_OF_ROLE[role]
    settings = Settings.model_validate({setting: SecretStr(database.owner)})
    with pytest.raises(SettingsError, match=f"^{setting.upper()} logs in as a superuser") as refusal:
        await _open(settings, role)
    assert URL_OF_ROLE[role].upper() in str(refusal.value)
    assert "postgresql://" not in str(refusal.value)
    await _open(settings.model_copy(update={"allow_superuser": True}), role)


async def test_no_repr_and_no_error_shows_a_password(database: Addresses) -> None:
    secret = "hunter2-hunter2"
    settings = Settings(_env_file=None, read_database_url=SecretStr(f"postgresql://x:{secret}@127.0.0.1:1/x"))
    with pytest.raises(SettingsError) as refusal:
        await _open(settings, "reader")
    assert secret not in f"{refusal.value!r} {settings!r} {settings.model_dump()!r}"


async def _open(settings: Settings, role: Any) -> None:
    async with open_database(settings, role):
        pass


async def test_a_session_that_keeps_a_lock_and_says_nothing_is_ended_by_the_server(settings: Settings) -> None:
    """Like the session of a service that was stopped in the middle: the others do not wait for ever."""
    async with open_database(settings, "projector", seconds=20) as database:
        if settings.database_pooler != "yes":
            async with database.pool.acquire() as connection:
                shown = {
                    name: await connection.fetchval(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")
                }
                assert shown == {"statement_timeout": "18s", "lock_timeout": "10s"}
        async with database.transaction() as connection:
            assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "20s"
            assert await connection.fetchval("SHOW statement_timeout") == "18s"

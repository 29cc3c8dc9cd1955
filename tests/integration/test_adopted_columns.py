"""Adoption of tables with other columns: other names and types, optional fields, views; and of what has no tasks."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from runtime.database import Database
from runtime.settings import SettingsError
from tests.adoption import ROWS, adopted, body_of, listed
from tests.servers import Database as Addresses

ODD = """
    CREATE TYPE public.level AS ENUM ('LOW', 'HIGH');
    CREATE DOMAIN public.name AS varchar(50);
    CREATE SCHEMA app;
    CREATE TABLE app."Task" (
        "Id" numeric(20), "userId" uuid, title text, "isCompleted" boolean, "createdAt" timestamptz,
        "updatedAt" timestamp, "completedAt" date, priority public.level, "dueDate" timestamptz, tags json,
        category public.name, "position" integer, parent_id bigint
    );
    INSERT INTO app."Task" VALUES
        (5, '00000000-0000-0000-0000-00000000000a', 'One', NULL, '2025-01-02 03:04:05+02', NULL, NULL, 'HIGH',
         '2026-02-07 12:00:00.5+01', '["home", "b, c"]', 'Errands', 1, NULL),
        (6, '00000000-0000-0000-0000-00000000000a', 'Two', true, '2025-01-03 00:00:00Z', '2025-01-04 00:00:00',
         '2025-01-05', NULL, '2026-02-07 12:00:00Z', 'null', '', 2, 5),
        (4, '00000000-0000-0000-0000-00000000000a', 'Three', true, NULL, '2025-01-01 00:00:00', NULL, NULL, NULL,
         NULL, NULL, 3, NULL);
"""


async def test_a_table_of_another_tool_with_other_names_and_types_is_adopted_too(
    owner: asyncpg.Connection, database: Addresses, keeper: Database, reader: Database
) -> None:
    await owner.execute(ODD)
    assert (await adopted(database, keeper, "app.Task")).adopted == 3
    two, one, three = await listed(reader, "00000000-0000-0000-0000-00000000000a")
    assert [task["id"] for task in (two, one, three)] == [6, 5, 4]
    assert (one["created_at"], one["updated_at"]) == ("2025-01-02T01:04:05Z", "2025-01-02T01:04:05Z")
    assert (one["completed"], one["completed_at"], one["description"]) == (False, None, None)
    assert (one["priority"], one["due_date"]) == ("HIGH", "2026-02-07T11:00:00.500000Z")
    assert (one["tags"], one["category"]) == (["home", "b, c"], "Errands")
    assert (two["completed"], two["completed_at"], two["updated_at"]) == (
        True,
        "2025-01-05T00:00:00Z",
        "2025-01-04T00:00:00Z",
    )
    assert (two["priority"], two["due_date"], two["tags"], two["category"]) == (
        "medium",
        "2026-02-07T12:00:00Z",
        [],
        None,
    )
    assert three["created_at"] == three["updated_at"] == three["completed_at"] == "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("due_date date", "'2026-02-07'", {"due_date": "2026-02-07"}),
        ("due_date timestamp", "'2026-02-07 12:00:00'", {"due_date": "2026-02-07T12:00:00"}),
        ("due_date timestamp", "'2026-02-07 12:00:00.25'", {"due_date": "2026-02-07T12:00:00.250000"}),
        ("due_date text", "'2026-02-07T12:00:00+01:00'", {"due_date": "2026-02-07T11:00:00Z"}),
        ("due_date text", "''", {"due_date": None}),
        ("tags text[]", "ARRAY['a', NULL, 'A', ' b ']", {"tags": ["a", "b"]}),
        ("tags varchar(20)[]", "'{}'", {"tags": []}),
        ("tags jsonb", """'["a"]'""", {"tags": ["a"]}),
        ("tags jsonb", """'"a, b"'""", {"tags": ["a", "b"]}),
        ("tags text", "'a,b , a'", {"tags": ["a", "b"]}),
        ("tags text", """'["a", "b"]'""", {"tags": ["a", "b"]}),
        ("tags text", "'2026'", {"tags": ["2026"]}),
        ("priority integer", "1", {"priority": "1"}),
        ("category text", "'x'", {"category": "x"}),
    ],
)
async def test_optional_columns_of_any_type_are_what_a_client_could_have_sent(  # noqa: PLR0913, PLR0917
    source: asyncpg.Connection,
    database: Addresses,
    keeper: Database,
    reader: Database,
    column: str,
    value: str,
    expected: dict[str, Any],
) -> None:
    name = column.split(maxsplit=1)[0]
    await source.execute(f"ALTER TABLE public.tasks ADD {column}; UPDATE public.tasks SET {name} = {value}")
    await adopted(database, keeper)
    assert await listed(reader, "bob") == [body_of(ROWS[2]) | expected]


async def test_a_view_is_adopted_like_a_table(
    source: asyncpg.Connection, database: Addresses, keeper: Database, reader: Database
) -> None:
    await source.execute(
        "CREATE VIEW public.short AS SELECT id + 100 AS id, user_id, left(title, 3) AS title, description, completed,"
        " created_at, updated_at FROM public.tasks WHERE user_id = 'bob'"
    )
    assert (await adopted(database, keeper, "short")).adopted == 1
    assert await listed(reader, "bob") == [body_of(ROWS[2]) | {"id": 108, "title": "Bre"}]


@pytest.mark.parametrize(
    ("prepare", "table", "reason"),
    [
        ("SELECT", "todos", "has no table todos that this login sees: name one with --table, like public.tasks."),
        ("ALTER TABLE public.tasks DROP completed", "tasks", "has no column completed: name another one"),
        ("ALTER TABLE public.tasks DROP user_id, DROP title", "tasks", "has no column user_id and no column title:"),
        (
            "ALTER TABLE public.tasks ALTER id DROP DEFAULT, ALTER id TYPE uuid USING gen_random_uuid()",
            "tasks",
            "has id of type uuid, and it must be whole numbers",
        ),
        (
            "ALTER TABLE public.tasks ALTER completed TYPE text",
            "tasks",
            "has completed of type text, and it must be true or false",
        ),
        ("ALTER TABLE public.tasks ALTER created_at TYPE text", "tasks", "has created_at of type text, and it must be"),
        (
            """ALTER TABLE public.tasks RENAME completed TO "isCompleted";
            ALTER TABLE public.tasks ADD is_completed boolean""",
            "tasks",
            "has isCompleted and is_completed, which are both completed",
        ),
        (
            "ALTER TABLE public.tasks DROP CONSTRAINT tasks_pkey; UPDATE public.tasks SET id = 5",
            "tasks",
            "has 2 ids more than once",
        ),
        (
            "ALTER TABLE public.tasks ALTER id TYPE numeric; UPDATE public.tasks SET id = 2::numeric ^ 70 WHERE id = 7",
            "tasks",
            "has the id 1180591620717411303424",
        ),
        (
            "ALTER TABLE public.tasks ALTER id TYPE numeric; UPDATE public.tasks SET id = 0.5 WHERE id = 7",
            "tasks",
            "id 0.5",
        ),
    ],
)
async def test_a_table_that_has_no_tasks_is_refused_in_one_sentence(  # noqa: PLR0913, PLR0917
    source: asyncpg.Connection, database: Addresses, keeper: Database, prepare: str, table: str, reason: str
) -> None:
    await source.execute(prepare)
    with pytest.raises(SettingsError) as refused:
        await adopted(database, keeper, table)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)

"""Tables of other backends for tests of `./run adopt`, and a model of its own of the tasks in their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from adoption.adopt import Adoption, read, write
from adoption.source import opened
from adoption.spool import spooled
from read_api.queries import TaskQuery
from runtime.database import Database
from tests.ledger import list_tasks
from tests.servers import Database as Addresses

SQLMODEL = """
    CREATE TABLE public.tasks (
        id SERIAL NOT NULL,
        user_id VARCHAR NOT NULL,
        title VARCHAR(200) NOT NULL,
        description VARCHAR,
        completed BOOLEAN NOT NULL,
        created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
        updated_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
        PRIMARY KEY (id)
    );
    CREATE INDEX ix_tasks_user_id ON public.tasks (user_id);
"""
"""The table that SQLModel creates for the model of a plain CRUD."""

PLAIN = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")


OLD = datetime(2025, 3, 4, 5, 6, 7, 89)  # noqa: DTZ001 - as in the column
ROWS: list[tuple[Any, ...]] = [
    (7, "alice", "Milk", "two litres", True, OLD, OLD + timedelta(days=2)),
    (9, "alice", 'Ä\\\t"quoted"', "", False, OLD - timedelta(days=1), OLD),
    (8, "bob", "Bread", None, False, OLD, OLD),
]
"""Two tasks of alice and one of bob, in a plain CRUD's table."""


async def insert(owner: asyncpg.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows into a plain CRUD's table, in the order of PLAIN."""
    await owner.copy_records_to_table("tasks", schema_name="public", columns=PLAIN, records=rows)


async def adopted(addresses: Addresses, database: Database, table: str = "tasks", url: str | None = None) -> Adoption:
    """Adopt a table of the ledger's own database, or of another one."""
    with spooled() as spool:
        async with opened(url or addresses.owner, table) as source:
            await read(source, spool, quiet)
        return await write(database, spool, quiet, actor="operator test", request_id="adopt-test")


def body_of(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a row of a plain CRUD's table as the task that the contract shows."""
    task_id, user_id, title, description, completed, created_at, updated_at = row
    return {
        "id": task_id,
        "user_id": user_id,
        "title": title,
        "description": description,
        "completed": completed,
        "created_at": iso(created_at),
        "updated_at": iso(updated_at),
        "priority": "medium",
        "due_date": None,
        "tags": [],
        "category": None,
        "completed_at": iso(updated_at) if completed else None,
        "is_completed": completed,
        "status": "completed" if completed else "pending",
    }


def iso(at: datetime) -> str:
    """Return a time without a zone as the contract shows it in UTC."""
    return at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")


@contextmanager
def quiet(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda _: None


async def listed(reader: Database, user: str) -> list[dict[str, Any]]:
    """Return a user's list."""
    found: list[dict[str, Any]] = json.loads((await list_tasks(reader, user, TaskQuery())).body)
    return found

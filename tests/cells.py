"""Two ledgers with disjoint ranges of task ids, and commands between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic import SecretStr

import migrations
from audit.move import Moved, move
from audit.verify import verify
from command_api.idempotency import Done, key_with_digest
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues, command_queues
from domain.commands import Command, CreateTask
from domain.task import Task
from projector.catch_up import catch_up
from runtime.database import Database as Opened
from runtime.database import open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.ledger import connections
from tests.servers import SECRET, Database, Servers

FIRST_IDS = (1, 999_999)
SECOND_IDS = (1_000_000, 1_999_999)


@contextmanager
def two_ledgers(servers: Servers) -> Iterator[tuple[Database, Database]]:
    """Yield two migrated, empty databases whose task ids begin at 1 and at 1,000,000."""
    with servers.cloned() as first, servers.cloned() as second:
        for database, task_ids in ((first, FIRST_IDS), (second, SECOND_IDS)):
            migrations.upgrade(database.owner, list(database.service_urls.values()), task_ids=task_ids)
        yield first, second


def started(database: Database, *command: str, **env: str) -> subprocess.Popen[str]:
    """Start a command of `./run` on a database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.Popen(
        [sys.executable, "-m", "tasklog", *command],
        env=inherited | {"DATABASE_URL": database.owner} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(database: Database, *command: str, code: int = 0, **env: str) -> str:
    """Run a command of `./run` on a database, and return what it printed; it must end with an exit code."""
    with started(database, *command, **env) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    return output


def moved(user: str, source: Database, target: Database, cell: str = "b", code: int = 0) -> str:
    """Move a user by the command."""
    return done(source, "move", user, "--cell", cell, code=code, MOVE_TO=target.owner)


@dataclass(kw_only=True)
class Place:
    """A ledger as its owner and each service see it."""

    where: Database
    keeper: Opened
    reader: Opened
    projector: Opened
    queue: CommandQueues
    sql: asyncpg.Connection

    async def run(self, user: str, command: Command, task: int | None = None, key: str | None = None) -> Done:
        named = None if key is None else key_with_digest(key, task, command, None)  # type: ignore[arg-type]
        request = CommandRequest(user_id=user, task_id=task, command=command, request_id="test", idempotency_key=named)
        return await self.queue.execute(request)

    async def titles(self, user: str) -> list[str]:
        rows = await self.sql.fetch(
            "SELECT data->>'title' FROM tasklog.events WHERE user_id = $1 ORDER BY position", user
        )
        return [row[0] for row in rows]


@asynccontextmanager
async def opened(where: Database) -> AsyncIterator[Place]:
    settings = Settings(
        _env_file=None,
        better_auth_secret=SECRET,
        database_url=SecretStr(where.owner),
        command_database_url=where.writer,
        projector_database_url=where.projector,
        read_database_url=where.reader,
        allow_superuser=True,
    )
    async with AsyncExitStack() as stack:

        async def role(name: Any) -> Opened:
            return await stack.enter_async_context(open_database(settings, name))

        (sql,) = await stack.enter_async_context(connections(where.owner, 1))
        writer = await role("writer")
        yield Place(
            where=where,
            keeper=await role("owner"),
            reader=await role("reader"),
            projector=await role("projector"),
            queue=await stack.enter_async_context(command_queues(writer, Wake(None))),
            sql=sql,
        )


async def create(place: Place, user: str, title: str = "Milk", key: str | None = None) -> int:
    state = (await place.run(user, CreateTask(title=title), key=key)).state
    assert isinstance(state, Task)
    return state.id


async def check_all(*places: Place) -> None:
    """Verify whole ledgers: chains, stories, rows, sequence, keys."""
    for place in places:
        await catch_up(place.projector)
        assert (await verify(place.keeper)).faults == []


async def go(source: Place, target: Place, user: str, cell: str = "b") -> Moved:
    """Move a user from one ledger to another, which the first one calls `cell`."""
    return await move(source.keeper, target.keeper, user, cell)

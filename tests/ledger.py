"""What tests of the ledger share: appends by hand, and reading what is stored."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg

from domain.events import Recorded, TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskReopened
from event_log.append import Append, Fetching, Refused, append
from read_api.long_lists import long_list
from read_api.queries import TaskPage, TaskQuery, lists
from runtime.database import Database, open_database
from runtime.settings import Settings

TITLES = ["Milk", "milk", "Äpfel", "\U0001f600", "ﬁne", "Zebra", "a\tb\\n", '"quoted"', "Straße", "STRASSE"]


def of(user: str, *events: TaskEvent, task: int | None = None, expected: int = 0) -> Append:
    """Return the append of one command; without events, it creates a task."""
    return Append(
        user_id=user,
        task_id=task,
        expected_version=expected,
        events=events or (TaskCreated(title="Milk", description=None),),
        actor=user,
        request_id="test",
    )


async def appended(database: Fetching, *appends: Append) -> list[tuple[Recorded, ...]]:
    """Append, and fail if anything is refused."""
    outcomes = await append(database, appends, wait=True)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    return [outcome.events for outcome in outcomes if not isinstance(outcome, Refused)]


async def created(database: Fetching, user: str, title: str = "Milk") -> int:
    """Create a task of a user, and return its id."""
    ((event,),) = await appended(database, of(user, TaskCreated(title=title, description=None)))
    return event.task_id


async def positions(owner: asyncpg.Connection, user: str) -> list[int]:
    """Return the positions of a user's stream, in order."""
    rows = await owner.fetch("SELECT position FROM tasklog.events WHERE user_id = $1 ORDER BY position", user)
    return [row["position"] for row in rows]


async def copy_of(owner: asyncpg.Connection, table: str, order: str, columns: str = "*") -> bytes:
    """Return everything in a table, as COPY writes it."""
    output = io.BytesIO()
    await owner.copy_from_query(f"SELECT {columns} FROM tasklog.{table} ORDER BY {order}", output=output)
    return output.getvalue()


async def tasks_copy(owner: asyncpg.Connection) -> bytes:
    """Return the read table, byte for byte."""
    return await copy_of(owner, "tasks", "user_id, id")


async def forget_projection(owner: asyncpg.Connection) -> None:
    """Drop the read table's rows and the checkpoints, and mark every stream as not projected."""
    await owner.execute(
        "TRUNCATE tasklog.tasks, tasklog.checkpoints; UPDATE tasklog.streams SET unprojected_since = now()"
    )


@asynccontextmanager
async def opened(*wanted: tuple[Settings, str]) -> AsyncIterator[list[Database]]:
    """Yield databases as services open them, one for each (settings, role)."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_database(settings, role)) for settings, role in wanted]  # type: ignore[arg-type]


@asynccontextmanager
async def connections(url: str, number: int) -> AsyncIterator[list[asyncpg.Connection]]:
    """Yield new connections, and close them afterwards."""
    made = await asyncio.gather(*(asyncpg.connect(url, timeout=20, statement_cache_size=0) for _ in range(number)))
    try:
        yield made
    finally:
        await asyncio.gather(*(connection.close() for connection in made))


async def waits_for_lock(owner: asyncpg.Connection) -> bool:
    """Return whether somebody in this database waits for a lock."""
    return await waiting_for_locks(owner, 1)


async def waiting_for_locks(owner: asyncpg.Connection, number: int) -> bool:
    """Return whether at least `number` sessions in this database wait for a lock."""
    await owner.execute("SELECT pg_stat_clear_snapshot()")  # inside a transaction, the first snapshot would stay
    return bool(
        await owner.fetchval(
            "SELECT count(*) >= $1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
            number,
        )
    )


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    """Return the result of work that must not take longer than `seconds`."""
    async with asyncio.timeout(seconds):
        return await work


def flat(outcomes: Sequence[Any]) -> list[Any]:
    """Return the elements of the elements."""
    return [element for outcome in outcomes for element in outcome]


class Life:
    """A user whose tasks are also kept in a plain dict: id -> (title, completed, version)."""

    def __init__(self, user: str, seed: int) -> None:
        self.user = user
        self.events = 0
        self.tasks: dict[int, tuple[str, bool, int]] = {}
        self._random = random.Random(f"{user} {seed}")

    async def go_on(self, database: Fetching, steps: int) -> None:
        """Make the next changes, each in its own commit."""
        for _ in range(steps):
            self.events += 1
            title = self._random.choice(TITLES)
            if len(self.tasks) < 2 or self._random.random() < 0.3:
                self.tasks[await created(database, self.user, title)] = (title, False, 1)
            else:
                await self._change(database, self._random.choice([*self.tasks]), title)

    async def _change(self, database: Fetching, task: int, new_title: str) -> None:
        title, completed, version = self.tasks.pop(task)
        event: TaskEvent = TaskDeleted()
        match self._random.randrange(4):
            case 0:
                event = TaskEdited(title=new_title)
                self.tasks[task] = (new_title, completed, version + 1)
            case 1 | 2:
                event = TaskReopened() if completed else TaskCompleted()
                self.tasks[task] = (title, not completed, version + 1)
        await appended(database, of(self.user, event, task=task, expected=version))


async def lived(database: Fetching, number: int, steps: int, seed: int = 1) -> list[Life]:
    """Return users after `steps` changes each, made at the same time."""
    made = [Life(f"user-{n}", seed) for n in range(number)]
    await asyncio.gather(*(life.go_on(database, steps) for life in made))
    return made


async def projected(owner: asyncpg.Connection) -> dict[str, dict[int, tuple[str, bool, int]]]:
    """Return what the read table holds of each user, in the form of `Life.tasks`."""
    found: dict[str, dict[int, tuple[str, bool, int]]] = {}
    for row in await owner.fetch("SELECT * FROM tasklog.tasks"):
        found.setdefault(row["user_id"], {})[row["id"]] = (row["title"], row["completed"], row["version"])
    return found


async def assert_projected(owner: asyncpg.Connection, made: Sequence[Life]) -> None:
    """Check that the read table holds exactly these lives, and that no stream waits."""
    assert await projected(owner) == {life.user: life.tasks for life in made if life.tasks}
    checkpoints = await owner.fetch("SELECT user_id, position, parked_until FROM tasklog.checkpoints")
    assert {tuple(row) for row in checkpoints} == {(life.user, life.events, None) for life in made}
    assert await owner.fetchval("SELECT count(*) FROM tasklog.streams WHERE unprojected_since IS NOT NULL") == 0


async def list_tasks(reader: Fetching, user_id: str, query: TaskQuery) -> TaskPage:
    """Return one list, or raise the error that is in its place."""
    (page,) = await lists(reader, [(user_id, query)])
    if isinstance(page, Exception):
        raise page
    return page if isinstance(page, TaskPage) else await in_parts(reader, user_id, query)


async def in_parts(reader: Fetching, user_id: str, query: TaskQuery) -> TaskPage:
    """Return a list that was read in parts, put together."""
    page = await long_list(reader, user_id, query)
    assert page.parts is not None
    return replace(page, parts=None, body=b"".join([part async for part in page.parts]))

"""The two backends that are compared: how each is filled with tasks, and how its stored data are counted."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from bench.ledger import TITLE, Ledger
from bench.wrk import SECRET

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bench.lab import Lab

Tasks = dict[str, list[int]]
"""The ids of the tasks of each user."""

_COUNT_CHANGES: Final = """
    CREATE SEQUENCE IF NOT EXISTS changes;
    CREATE OR REPLACE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM nextval(''changes''); RETURN NULL; END';
    CREATE OR REPLACE TRIGGER count_changes AFTER UPDATE ON tasks FOR EACH ROW
        WHEN ((OLD.completed, OLD.title) IS DISTINCT FROM (NEW.completed, NEW.title)) EXECUTE FUNCTION count_change();
"""


class Contender(Protocol):
    """A backend to measure."""

    name: str
    url: str

    def processes(self) -> Mapping[str, int]:
        """Return the process ids of the API and of its other processes, by name."""

    async def seed(self, users: Sequence[str], tasks: int) -> Tasks:
        """Give each user `tasks` tasks, and return their ids."""

    async def change(self, tasks: Tasks, number: int) -> None:
        """Change one task of each user directly in the database, in one transaction."""

    async def settle(self) -> None:
        """Return when no work is left in the background."""

    async def stored(self, users: Sequence[str]) -> int:
        """Return how many tasks the users have."""

    async def watch_changes(self) -> None:
        """Start to count how often a task is edited, completed or reopened."""

    async def changes(self, users: Sequence[str]) -> int:
        """Return how often a task was edited, completed or reopened since `watch_changes`."""


@dataclass(kw_only=True)
class Peer:
    """The plain CRUD backend."""

    url: str
    owner: asyncpg.Connection
    api: subprocess.Popen[bytes]
    name: str = "peer"

    def processes(self) -> Mapping[str, int]:
        """Return the API's process."""
        return {"api": self.api.pid}

    async def seed(self, users: Sequence[str], tasks: int) -> Tasks:
        """Insert rows; the ids come from the table's sequence."""
        rows = await self.owner.fetch(
            """INSERT INTO tasks (user_id, title, completed, created_at, updated_at)
               SELECT u, $2 || ' ' || n, false, now() + n * interval '1 ms', now()
               FROM unnest($1::text[]) u, generate_series(1, $3) n RETURNING user_id, id""",
            list(users),
            TITLE,
            tasks,
        )
        await self.owner.execute("ANALYZE tasks")
        made: Tasks = {user: [] for user in users}
        for row in rows:
            made[row["user_id"]].append(row["id"])
        return made

    async def change(self, tasks: Tasks, number: int) -> None:
        """Update rows."""
        ids = [owned[number % len(owned)] for owned in tasks.values()]
        await self.owner.execute(
            "UPDATE tasks SET title = $2, updated_at = now() WHERE id = ANY ($1::int[])", ids, f"{TITLE} {number}"
        )

    async def settle(self) -> None:
        """Do nothing, as it has no background work."""

    async def stored(self, users: Sequence[str]) -> int:
        """Count rows."""
        return int(
            await self.owner.fetchval("SELECT count(*) FROM tasks WHERE user_id = ANY ($1::text[])", list(users))
        )

    async def watch_changes(self) -> None:
        """Let a trigger draw a number from a sequence: microseconds in a request of milliseconds."""
        await self.owner.execute(_COUNT_CHANGES)
        await self.owner.fetchval("SELECT setval('changes', 1, false)")

    async def changes(self, _users: Sequence[str]) -> int:
        """Return how many numbers were drawn."""
        drawn: Any = await self.owner.fetchrow("SELECT last_value, is_called FROM changes")
        return int(drawn["last_value"]) if drawn["is_called"] else 0


@dataclass(kw_only=True)
class Tasklog:
    """Gateway and projector."""

    url: str
    ledger: Ledger
    gateway: subprocess.Popen[bytes]
    projector: subprocess.Popen[bytes]
    env: dict[str, str]
    name: str = "tasklog"

    def processes(self) -> Mapping[str, int]:
        """Return the API and the projector."""
        return {"api": self.gateway.pid, "projector": self.projector.pid}

    async def seed(self, users: Sequence[str], tasks: int) -> Tasks:
        """Append events, and wait until they are projected."""
        made = await self.ledger.seed(users, tasks)
        await self.settle()
        await self.ledger.owner.execute("ANALYZE tasklog.tasks; ANALYZE tasklog.events; ANALYZE tasklog.streams")
        return made

    async def change(self, tasks: Tasks, number: int) -> None:
        """Append an event to each user's stream, and wake the projector as the API does."""
        await self.ledger.change({user: owned[number % len(owned)] for user, owned in tasks.items()}, number)

    async def settle(self) -> None:
        """Wait until everything is projected."""
        while await self.ledger.unprojected():
            await asyncio.sleep(0.02)

    async def stored(self, users: Sequence[str]) -> int:
        """Count creations in the ledger; the read table must soon have as many rows."""
        deadline = time.monotonic() + 10  # requests that were in progress at the end may come a little later
        while (counts := await self.ledger.stored(users))[0] != counts[1]:
            if time.monotonic() > deadline:
                raise SystemExit(f"The ledger holds {counts[0]} creations, the read table {counts[1]} tasks.")
            await asyncio.sleep(0.05)
        return counts[0]

    async def watch_changes(self) -> None:
        """Do nothing, as the ledger has all changes."""

    async def changes(self, users: Sequence[str]) -> int:
        """Count the events of tasks after their first."""
        return await self.ledger.changes(users)


async def start_peer(lab: Lab) -> Peer:
    """Start the plain CRUD on a database of its own."""
    database = await lab.new_database("crud")
    url = database.replace("postgresql:", "postgresql+asyncpg:")
    address, api = await lab.serve(
        "crud", "uvicorn", "bench.crud.main:app", "--port={port}", DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET
    )
    return Peer(url=address, owner=await asyncpg.connect(database), api=api)


async def start_tasklog(lab: Lab, name: str = "tasklog") -> Tasklog:
    """Start Tasklog on a new database, or on an existing one."""
    database = f"ledger_{name}"
    owner = await lab.new_database(database)
    await asyncio.to_thread(lab.migrate, database)
    env = lab.tasklog_env(database)
    url, gateway = await lab.serve(f"{name}-gateway", "tasklog", "gateway", **env)
    projector = lab.run(f"{name}-projector", "tasklog", "projector", **env)
    ledger = await Ledger.open(owner, env["COMMAND_DATABASE_URL"], env["REDIS_URL"])
    return Tasklog(url=url, ledger=ledger, gateway=gateway, projector=projector, env=env, name=name)

"""The peers, whose tasks are one plain table: how each is started and filled, and how what it stored is counted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from bench.ledger import TITLE
from bench.wrk import SECRET

if TYPE_CHECKING:
    from bench.contenders import Tasks
    from bench.lab import Lab

_PEERS: Final = Path(__file__).with_name("peers")
_FASTIFY: Final = _PEERS / "fastify"
_QUIET: Final = ("--no-access-log", "--log-level=error")

_COUNT_TOGGLES: Final = """
    CREATE SEQUENCE toggles;
    CREATE OR REPLACE FUNCTION count_toggle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM nextval(''toggles''); RETURN NULL; END';
    CREATE TRIGGER count_toggles AFTER UPDATE ON tasks FOR EACH ROW
        WHEN (OLD.completed IS DISTINCT FROM NEW.completed) EXECUTE FUNCTION count_toggle();
"""


@dataclass(kw_only=True)
class PlainTable:
    """A peer that runs."""

    name: str
    url: str
    owner: asyncpg.Connection
    api: subprocess.Popen[bytes]
    keeps_history: bool = False

    def processes(self) -> Mapping[str, int]:
        """Return the API."""
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
            "UPDATE tasks SET title = $2, updated_at = now() WHERE id = ANY ($1::bigint[])", ids, f"{TITLE} {number}"
        )

    async def settle(self) -> None:
        """Do nothing, as it has no background work."""

    async def stored(self, users: Sequence[str]) -> int:
        """Count rows."""
        return int(
            await self.owner.fetchval("SELECT count(*) FROM tasks WHERE user_id = ANY ($1::text[])", list(users))
        )

    async def changes(self, users: Sequence[str]) -> int:
        """Count the rows that were changed, however often, since they were seeded."""
        query = "SELECT count(*) FROM tasks WHERE user_id = ANY ($1::text[]) AND updated_at > created_at"
        return int(await self.owner.fetchval(query, list(users)))

    async def watch_toggles(self) -> None:
        """Let a trigger draw a number from a sequence; it costs microseconds, so only this work has it."""
        await self.owner.execute(_COUNT_TOGGLES)

    async def toggles(self, _users: Sequence[str]) -> int:
        """Return how many numbers were drawn."""
        drawn: Any = await self.owner.fetchrow("SELECT last_value, is_called FROM toggles")
        await self.owner.execute("DROP TRIGGER count_toggles ON tasks; DROP SEQUENCE toggles")
        return int(drawn["last_value"]) if drawn["is_called"] else 0


async def start_peer(lab: Lab, name: str) -> PlainTable | None:
    """Start a peer on a database of its own; None, after saying why, where this machine cannot run it."""
    return await PEERS[name](lab)


async def _start(
    lab: Lab, name: str, command: Sequence[str], *, scheme: str = "postgresql", schema: str = ""
) -> PlainTable:
    database = await lab.new_database(name)
    owner = await asyncpg.connect(database)
    if schema:
        await owner.execute(schema)
    url = database.replace("postgresql:", f"{scheme}:")
    address, api = await lab.serve(name, command, DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET, NODE_ENV="production")
    return PlainTable(name=name, url=address, owner=owner, api=api)


async def _start_crud(lab: Lab) -> PlainTable:
    command = [sys.executable, "-m", "uvicorn", "bench.peers.crud.main:app", "--port={port}"]
    return await _start(lab, "crud", command, scheme="postgresql+asyncpg")


async def _start_asyncpg(lab: Lab) -> PlainTable:
    command = [sys.executable, "-m", "uvicorn", "bench.peers.fastapi_asyncpg:app", "--port={port}", *_QUIET]
    return await _start(lab, "asyncpg", command, schema=_tasks_table())


async def _start_fastify(lab: Lab) -> PlainTable | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("Node or npm is not installed (apt install nodejs npm): fastify is not measured.", flush=True)
        return None
    if refusal := _install(npm):
        print(f"npm could not install what fastify needs, so it is not measured: {refusal}", flush=True)
        return None
    return await _start(lab, "fastify", [node, str(_FASTIFY / "server.mjs")], schema=_tasks_table())


def _tasks_table() -> str:
    return (_PEERS / "tasks.sql").read_text()


def _install(npm: str) -> str:
    """Install the locked packages into the ignored folder node_modules, once; what npm said if it could not."""
    lock, installed = _FASTIFY / "package-lock.json", _FASTIFY / "node_modules/.locked"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return ""
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=_FASTIFY, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()[-300:] or f"exit code {done.returncode}"
    installed.write_bytes(lock.read_bytes())
    return ""


PEERS: Final[Mapping[str, Callable[[Lab], Awaitable[PlainTable | None]]]] = {
    "crud": _start_crud,
    "asyncpg": _start_asyncpg,
    "fastify": _start_fastify,
}
"""The peers by name."""

"""What is measured: what each contender can be asked for, and Tasklog, of this build or an earlier one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.builds import THIS, Build
from bench.earlier_ledger import EarlierLedger
from bench.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.lab import Lab

Tasks = dict[str, list[int]]
"""The ids of the tasks of each user."""


class Contender(Protocol):
    """What is measured."""

    name: str
    url: str
    keeps_history: bool

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

    async def changes(self, users: Sequence[str]) -> int:
        """How often tasks were changed; without a history, how many were."""

    async def watch_toggles(self) -> None:
        """Begin to count how often a task was completed or reopened."""

    async def toggles(self, users: Sequence[str]) -> int:
        """How often one was since."""


@dataclass(kw_only=True)
class Tasklog:
    """Gateway and projector."""

    name: str
    url: str
    ledger: Ledger
    gateway: subprocess.Popen[bytes]
    projector: subprocess.Popen[bytes]
    env: Mapping[str, str]
    keeps_history: bool = True

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

    async def settle(self, pause: float = 0.02) -> None:
        """Wait until everything is projected, and look every `pause` seconds."""
        while await self.ledger.unprojected():
            await asyncio.sleep(pause)

    async def stored(self, users: Sequence[str]) -> int:
        """Count creations in the ledger; the read table must soon have as many rows."""
        deadline = time.monotonic() + 10  # requests that were in progress at the end may come a little later
        while (counts := await self.ledger.stored(users))[0] != counts[1]:
            if time.monotonic() > deadline:
                raise SystemExit(f"The ledger holds {counts[0]} creations, the read table {counts[1]} tasks.")
            await asyncio.sleep(0.05)
        return counts[0]

    async def changes(self, users: Sequence[str]) -> int:
        """Count the events of tasks after their first."""
        return await self.ledger.changes(users)

    async def watch_toggles(self) -> None:
        """Do nothing, as the ledger has all of them."""

    async def toggles(self, users: Sequence[str]) -> int:
        """Count them in the ledger, where nothing else was changed."""
        return await self.ledger.changes(users)


async def start_tasklog(
    lab: Lab, name: str = "tasklog", build: Build = THIS, env: Mapping[str, str] | None = None
) -> Tasklog:
    """Start a build of Tasklog on a database of its own.

    `env` are further settings of its gateway; those of traces are its projector's, too.
    """
    further = env or {}
    traces = {key: value for key, value in further.items() if key.startswith("OTEL_")}
    database = f"ledger_{name}"
    owner = await lab.new_database(database)
    env = {**lab.tasklog_env(database), **build.env}
    await asyncio.to_thread(_migrate, build, owner)
    url, gateway = await lab.serve(f"{name}-gateway", build.module("tasklog", "gateway"), **env, **further)
    projector = lab.run(f"{name}-projector", build.module("tasklog", "projector"), **env, **traces)
    urls = owner, env["COMMAND_DATABASE_URL"], env["REDIS_URL"]
    ledger = await (Ledger.open(*urls) if build is THIS else EarlierLedger.start(build, *urls))
    return Tasklog(name=name, url=url, ledger=ledger, gateway=gateway, projector=projector, env=env)


def _migrate(build: Build, owner_url: str) -> None:
    """Make the schema by the code of the build."""
    script = "import sys, migrations; migrations.upgrade(sys.argv[1])"
    command = [str(build.python), "-c", script, owner_url]
    done = subprocess.run(command, env={**os.environ, **build.env}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The schema of {build.commit} could not be made: {done.stderr[-1000:]}")

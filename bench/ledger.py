"""Direct access to Tasklog's ledger: it is filled fast with `append`, changed in the background, and counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Final

import asyncpg
from redis.asyncio import Redis

from domain.events import TaskCreated, TaskEdited, TaskEvent
from event_log.append import Append, Refused, append
from runtime.wakeup import CHANNEL, message_of

_BATCH: Final = 400
TITLE: Final = "A title of an ordinary length"


@dataclass(kw_only=True)
class Ledger:
    """Connections as the owner and as the writer, and the known versions of tasks."""

    owner: asyncpg.Connection
    writer: asyncpg.Connection
    redis: Redis
    known: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    async def open(cls, owner_url: str, writer_url: str, redis_url: str) -> Ledger:
        """Connect."""
        return cls(
            owner=await asyncpg.connect(owner_url, timeout=30),
            writer=await asyncpg.connect(writer_url, timeout=30),
            redis=Redis.from_url(redis_url),
        )

    async def append(self, commands: Sequence[Append]) -> list[int]:
        """Append in one commit, waiting for locks; return the tasks' ids."""
        ids: list[int] = []
        for outcome in await append(self.writer, commands, wait=True):
            if isinstance(outcome, Refused):
                raise SystemExit(f"An append of the benchmark was refused: {outcome}")
            last = outcome.events[-1]
            ids.append(last.task_id)
            self.known[commands[len(ids) - 1].user_id, last.task_id] = last.version
        return ids

    async def wake(self, users: Collection[str] = ()) -> None:
        """Wake the projector, as the API does after a commit to these users' streams; with none, to anybody's."""
        await self.redis.publish(CHANNEL, message_of(users))

    async def seed(self, users: Iterable[str], tasks: int, edits: int = 0) -> dict[str, list[int]]:
        """Give each user `tasks` tasks with `edits` edits each."""
        made: dict[str, list[int]] = defaultdict(list)
        for part in batches(list(product(users, range(1, tasks + 1))), _BATCH):
            events: list[TaskEvent] = [TaskEdited(title=f"{TITLE} {n}") for n in range(edits)]
            commands = [
                of(user, None, TaskCreated(title=f"{TITLE} {n}", description=None), *events) for user, n in part
            ]
            for (user, _), task in zip(part, await self.append(commands), strict=True):
                made[user].append(task)
            await self.wake({user for user, _ in part})
        return dict(made)

    async def change(self, tasks: dict[str, int], number: int) -> None:
        """Edit a task of each user, in one commit."""
        event = TaskEdited(title=f"{TITLE} {number}")
        await self.append([of(user, task, event, version=self.known[user, task]) for user, task in tasks.items()])
        await self.wake(tasks)

    async def unprojected(self) -> bool:
        """Return whether the read table lacks events."""
        query = "SELECT EXISTS (SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL)"
        return bool(await self.owner.fetchval(query))

    async def projected_events(self) -> int:
        """Return how many events the read table holds."""
        return int(await self.owner.fetchval("SELECT coalesce(sum(position), 0) FROM tasklog.checkpoints"))

    async def position(self, user: str) -> int:
        """Return the position up to which the user is projected."""
        return await self.owner.fetchval("SELECT position FROM tasklog.checkpoints WHERE user_id = $1", user) or 0

    async def stored(self, users: Sequence[str]) -> tuple[int, int]:
        """Return the users' creations in the ledger, and their rows in the read table."""
        row = await self.owner.fetchrow(
            """SELECT (SELECT count(*) FROM tasklog.events WHERE user_id = ANY ($1) AND version = 1),
                      (SELECT count(*) FROM tasklog.tasks WHERE user_id = ANY ($1))""",
            list(users),
        )
        return row[0], row[1]

    async def changes(self, users: Sequence[str]) -> int:
        """Return the users' events in the ledger that are not creations."""
        query = "SELECT count(*) FROM tasklog.events WHERE user_id = ANY ($1) AND version > 1"
        return int(await self.owner.fetchval(query, list(users)))

    async def holes(self) -> int:
        """Return how many streams have gaps: there must be none."""
        return int(
            await self.owner.fetchval(
                """SELECT count(*) FROM tasklog.streams s JOIN (
                       SELECT user_id, count(*) AS events, max(position) AS last FROM tasklog.events GROUP BY user_id
                   ) e USING (user_id) WHERE s.head <> e.events OR e.last <> e.events"""
            )
        )


def of(user: str, task: int | None, *events: TaskEvent, version: int = 0) -> Append:
    """Return an append of the benchmark."""
    return Append(user_id=user, task_id=task, expected_version=version, events=events, actor=user, request_id="bench")


def batches(items: Sequence[tuple[str, int]], size: int) -> Iterator[Sequence[tuple[str, int]]]:
    """Yield `items` in parts; itertools.batched needs Python 3.12."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part

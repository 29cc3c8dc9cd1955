"""Two processes and one idempotency key: it is carried out once, and commands decided beside it are decided again.

Seen to fail: with commands appended that were decided on a repeated command's result, as their version fits by chance,
and with keys of one batch not compared, or stored with the first event.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from command_api.idempotency import Done, KeyReusedError, key_with_digest
from command_api.plan import CommandRequest
from command_api.queues import command_queues
from domain.commands import EditTask, TaskCommand, ToggleTask
from domain.events import TaskCompleted, TaskEdited
from domain.task import Task
from event_log.append import APPEND, Appended, IdempotencyKey, Refused, append
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, together
from tests.ledger import created, of, within


class Paused:
    """A database whose first append is sent when `go` is set; `reached` is set just before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def fetch(self, query: str, *args: Any) -> Any:
        if query == APPEND:
            self.reached.set()
            await self.go.wait()
        return await self._database.fetch(query, *args)


def request(user: str, task: int | None, command: TaskCommand, key: str | None = None) -> CommandRequest:
    remembered = None if key is None else key_with_digest(key, task, command, None)
    return CommandRequest(user_id=user, task_id=task, command=command, request_id="r", idempotency_key=remembered)


@pytest.mark.parametrize("elsewhere", [ToggleTask(), EditTask(title="Oat")], ids=["the same", "another request"])
async def test_what_was_decided_beside_a_repeated_command_is_decided_anew(
    settings: Settings, writer: Database, owner: asyncpg.Connection, elsewhere: TaskCommand
) -> None:
    task = await created(writer, "alice")
    paused: Any = Paused(writer)
    async with (
        open_database(settings, "writer") as other,
        command_queues(paused, Wake(None)) as here,
        command_queues(other, Wake(None)) as there,
    ):
        bob = next(user for user in map(str, range(100)) if here.of(user) is here.of("alice"))
        asked = [
            request("alice", task, ToggleTask(), "K"),
            request("alice", task, ToggleTask()),
            request(bob, None, CREATE),
        ]
        answering = [asyncio.create_task(here.execute(one)) for one in asked]
        await within(20, paused.reached.wait())
        await there.execute(request("alice", task, elsewhere, "K"))
        paused.go.set()
        keyed, toggled, of_bob = await together(*answering)
    same = isinstance(elsewhere, ToggleTask)
    assert isinstance(keyed, Done if same else KeyReusedError)
    assert isinstance(of_bob.state, Task)
    assert (toggled.state.version, toggled.state.completed) == (3, not same)
    types = await owner.fetch("SELECT type FROM tasklog.events WHERE user_id = 'alice' ORDER BY position")
    expected = ["task.completed", "task.reopened"] if same else ["task.edited", "task.completed"]
    assert [row["type"] for row in types] == ["task.created", *expected]


async def test_a_key_twice_in_one_batch_is_carried_out_once_and_leads_to_its_commands_last_event(
    writer: Database, owner: asyncpg.Connection
) -> None:
    """Another user's same key is another key. The first command has two events, and no key has expired."""
    task = await created(writer, "alice")
    key = IdempotencyKey("K", b"f" * 32)
    asked = [
        of("alice", TaskEdited(title="Oat"), TaskCompleted(), task=task, expected=1)._replace(idempotency_key=key),
        of("alice")._replace(idempotency_key=key),
        of("bob")._replace(idempotency_key=key),
        of("alice")._replace(idempotency_key=IdempotencyKey("L", b"f" * 32)),
    ]
    outcomes = await append(writer, asked)
    assert [type(outcome) for outcome in outcomes] == [Appended, Refused, Appended, Appended]
    assert outcomes[1] is Refused.REPEATED
    stored = await owner.fetch("SELECT user_id, key, version, position FROM tasklog.idempotency_keys ORDER BY 1, 2")
    assert [tuple(row) for row in stored] == [("alice", "K", 3, 3), ("alice", "L", 1, 4), ("bob", "K", 1, 1)]

"""Many commands at once in the queues: one batch, whatever else waits, and two processes with the same call.

Seen to fail: with commands that refer to a failed one not told so, with only the tasks that are referred to having ids
in advance, and with an erasure at the wrong moment as an internal error.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import orjson

from command_api.idempotency import Done
from command_api.many import Call, Carried
from command_api.many_bodies import UnreadCommands, read_commands
from command_api.queues import CommandQueues, command_queues
from domain.task import Task
from event_log.append import APPEND, NEW_TASK_IDS, Fetching
from event_log.erase import ERASE
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.integration.commands import CREATE, run, together
from tests.ledger import within


class Watched:
    """A database that counts appends, the first of which is sent when `go` is set; `reached` is set just before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.appended: list[int] = []
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def fetch(self, query: str, *args: Any) -> Any:
        if query == APPEND:
            self.appended.append(len(set(args[0].split())))
            self.reached.set()
            await self.go.wait()
        return await self._database.fetch(query, *args)


async def carry_out(database: Fetching, queue: CommandQueues, *commands: dict[str, Any]) -> list[Carried]:
    numbered = [{"id": f"c-{n}", **command} for n, command in enumerate(commands)]
    body = UnreadCommands.model_validate_json(orjson.dumps({"commands": numbered}))
    return await Call("alice", "r", read_commands(body)).carry_out(database, queue)


def create(ref: str) -> dict[str, Any]:
    return {"type": "task.create", "ref": ref, "data": {"title": ref}}


def states(carried: list[Carried]) -> list[Any]:
    return [one.result.state if isinstance(one.result, Done) else one.result.kind.status for one in carried]


async def test_a_call_is_one_append_however_many_commands_wait_before_it(writer: Database) -> None:
    watched: Any = Watched(writer)
    async with command_queues(watched, Wake(None)) as queue:
        first = asyncio.create_task(run(queue, CREATE))
        await within(20, watched.reached.wait())
        others = [asyncio.create_task(run(queue, CREATE)) for _ in range(150)]
        await asyncio.sleep(0)
        calling = asyncio.create_task(carry_out(writer, queue, *(create(f"t{n}") for n in range(100))))
        await asyncio.sleep(0)
        watched.go.set()
        carried = (await together(calling, first, *others))[0]
    assert all(isinstance(state, Task) for state in states(carried))
    assert watched.appended == [1, 250]


async def test_two_processes_with_the_same_call_carry_it_out_once(
    settings: Settings, writer: Database, owner: asyncpg.Connection
) -> None:
    """Both have asked for an id of the new task before either appends; the slower one goes on with the other's id."""
    watched: Any = Watched(writer)
    call = [create("milk"), {"type": "task.toggle", "task": "milk"}, {"type": "task.toggle", "task": "milk"}]
    async with (
        open_database(settings, "writer") as other,
        command_queues(watched, Wake(None)) as here,
        command_queues(other, Wake(None)) as there,
    ):
        slow = asyncio.create_task(carry_out(watched, here, *call))
        await within(20, watched.reached.wait())
        fast = await carry_out(other, there, *call)
        watched.go.set()
        assert states(await within(20, slow)) == states(fast)
    assert [state.completed for state in states(fast)] == [False, True, False]
    types = await owner.fetch("SELECT type FROM tasklog.events ORDER BY position")
    assert [row["type"] for row in types] == ["task.created", "task.completed", "task.reopened"]


async def test_the_same_call_twice_at_once_is_carried_out_once(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    call = [create("milk"), {"type": "task.toggle", "task": "milk"}]
    answers = await together(*(carry_out(writer, queue, *call) for _ in range(5)))
    for answer in answers:
        done = states(answer)
        assert done == [409, 424] or [type(state) for state in done] == [Task, Task]
    assert await owner.fetchval("SELECT count(*) FROM tasklog.events") == 2


async def test_new_tasks_of_a_call_have_ids_in_its_order(queue: CommandQueues, writer: Database) -> None:
    call = [create("a"), create("b"), {"type": "task.toggle", "task": "b"}, create("c")]
    ids = [state.id for state in states(await carry_out(writer, queue, *call))]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 1, ids[0] + 2]


class Erasing:
    """A database in which the user is erased once, right after ids were asked for."""

    def __init__(self, database: Database, owner: asyncpg.Connection) -> None:
        self._database, self._owner, self.erased = database, owner, False

    async def fetch(self, query: str, *args: Any) -> Any:
        rows = await self._database.fetch(query, *args)
        if query == NEW_TASK_IDS and not self.erased:
            self.erased = True
            await self._owner.fetch(ERASE, "alice", "an operator", "r")
        return rows


async def test_a_call_that_is_repeated_while_its_tasks_are_erased_is_to_be_sent_again(
    queue: CommandQueues, writer: Database, owner: asyncpg.Connection
) -> None:
    call = [create("milk"), {"type": "task.toggle", "task": "milk"}]
    first = states(await carry_out(writer, queue, *call))
    assert states(await carry_out(Erasing(writer, owner), queue, *call)) == [503, 424]
    again = states(await carry_out(writer, queue, *call))
    assert [(state.title, state.completed) for state in again] == [("milk", False), ("milk", True)]
    assert again[0].id != first[0].id

"""Commands as they arrive: through the queues, or one after the other on the ledger and on a model of it."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from command_api.handle import handle
from command_api.idempotency import Done
from command_api.known_states import KnownStates
from command_api.plan import CommandRequest
from command_api.queues import CommandQueues
from domain.commands import Command, CreateTask
from domain.task import Task, TaskState
from runtime.database import Database
from tests.ledger import within
from tests.model import Model

CREATE = CreateTask(title="Milk")

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "priority": st.sampled_from(["medium", "low", "HIGH", "P1", "Some day"]),
    "due_date": st.sampled_from([None, "2026-03-01", "2026-03-01T14:30", "2026-03-01T09:30:00Z"]),
    "tags": st.sampled_from([(), ("home",), ("Straße", "a b")]),
    "category": st.sampled_from([None, "Work"]),
}
"""Values of the fields besides title and description, as they are kept."""


async def run(queue: CommandQueues, command: Command, task: int | None = None, user: str = "alice") -> TaskState:
    request = CommandRequest(user_id=user, task_id=task, command=command, request_id="test")
    return (await queue.execute(request)).state


async def together(*commands: Any) -> list[Any]:
    return list(await within(20, asyncio.gather(*commands, return_exceptions=True)))


async def happen(model: Model, writer: Database, known: KnownStates, command: Command, number: int) -> None:
    """Carry a command out, on the ledger and on the model; `number` selects one of the tasks so far."""
    if isinstance(command, CreateTask):
        (done,) = await handle(writer, known, [_request(model.user, None, command)])
        assert isinstance(done, Done)
        assert isinstance(done.state, Task)
        model.created(done.state.id, **{field.name: getattr(command, field.name) for field in fields(command)})
    elif model.ids:
        task_id = model.ids[number % len(model.ids)]
        await handle(writer, known, [_request(model.user, task_id, command)])
        model.apply(task_id, command)


def _request(user: str, task_id: int | None, command: Command) -> CommandRequest:
    return CommandRequest(user_id=user, task_id=task_id, command=command, request_id="test", reload=True)

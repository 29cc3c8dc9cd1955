"""What the tests of the command queues share: commands as they come in."""

from __future__ import annotations

import asyncio
from typing import Any

from command_api.group_commit import CommandQueues
from command_api.handle import CommandRequest
from domain.commands import Command, CreateTask
from domain.task import TaskState
from tests.ledger import within

CREATE = CreateTask(title="Milk")


async def run(queue: CommandQueues, command: Command, task: int | None = None, user: str = "alice") -> TaskState:
    return await queue.execute(CommandRequest(user_id=user, task_id=task, command=command, request_id="test"))


async def together(*commands: Any) -> list[Any]:
    return await within(20, asyncio.gather(*commands, return_exceptions=True))

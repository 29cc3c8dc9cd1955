"""The answer to many commands at once."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from pydantic import BaseModel, Field

from command_api.idempotency import Done
from command_api.many import Carried
from domain.task import Task
from edge.openapi import Problem
from edge.openapi import Task as TaskObject
from edge.problems import ProblemError, problem_members
from event_log.receipt import Receipt
from read_model.body import task_body
from read_model.bookmark import bookmark_after_write


class CommandDone(BaseModel):
    """A command that was carried out."""

    id: str
    status: int = Field(description="201 for a new task, otherwise 200")
    task: TaskObject | None = Field(description="The task after this command, null after a deletion")
    deleted: int = Field(default=0, description="Only after a deletion: the id of the task")


class CommandRefused(BaseModel):
    """A command that was not carried out."""

    id: str
    status: int = Field(description="That of the problem")
    problem: Problem


class CommandsAnswer(BaseModel):
    """The results of all commands, in their order."""

    token: str | None = Field(description="The place in /changes after the last command; null if all were refused")
    results: list[CommandDone | CommandRefused]


def last_receipt(carried: Sequence[Carried]) -> Receipt | None:
    """Return the receipt of the command that was carried out last."""
    receipts = (one.result.receipt for one in carried if isinstance(one.result, Done))
    return max((receipt for receipt in receipts if receipt is not None), default=None)


def commands_answer(user_id: str, carried: Sequence[Carried], receipt: Receipt | None) -> bytes:
    """Return a `CommandsAnswer`, UTF-8."""
    token = None
    if receipt is not None:
        token = bookmark_after_write(receipt.position, receipt.hash)
    results = b",".join(_result(user_id, one) for one in carried)
    return b'{"token":%b,"results":[%b]}' % (orjson.dumps(token), results)


def _result(user_id: str, one: Carried) -> bytes:
    name, result = orjson.dumps(one.id), one.result
    if isinstance(result, ProblemError):
        problem = orjson.dumps(problem_members(result.kind, result.detail, result.errors))
        return b'{"id":%b,"status":%d,"problem":%b}' % (name, result.kind.status, problem)
    if not isinstance(result.state, Task):
        assert one.task_id is not None, "only a task that is there can be deleted"
        return b'{"id":%b,"status":200,"task":null,"deleted":%d}' % (name, one.task_id)
    status = 201 if one.creates else 200
    return b'{"id":%b,"status":%d,"task":%b}' % (name, status, task_body(user_id, result.state))

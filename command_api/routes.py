"""The write endpoints: they parse a request into a command, and answer with the state after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from command_api.idempotency import key_with_digest
from command_api.many import Call
from command_api.many_answer import CommandsAnswer, commands_answer, last_receipt
from command_api.many_bodies import CommandsBody, commands_of
from command_api.plan import CommandRequest
from command_api.preconditions import idempotency_key, if_match
from command_api.schemas import TOGGLE, UNCHANGED, CompletionBody, CreateTaskBody, EditTaskBody, TaskDeleted
from domain.commands import DeleteTask, RestoreTask
from domain.task import Task
from edge.authorization import EdgeState, authorized_user, path_task_id
from edge.bodies import json_body
from edge.openapi import Task as TaskObject
from edge.openapi import problems, reference, task_route
from edge.requests import record_of
from edge.routing import Router
from edge.service import json_response
from read_model.body import task_body, task_tag

if TYPE_CHECKING:
    from command_api.idempotency import Done
    from command_api.queues import CommandQueues
    from domain.commands import TaskCommand
    from edge.bodies import JsonBody
    from event_log.receipt import Receipt
    from runtime.database import Database

TASKS: Final = "/api/{user_id}/tasks"
TASK: Final = "/api/{user_id}/tasks/{task_id}"
COMMANDS: Final = "/api/{user_id}/commands"
_DELETED: Final = b'{"message":"Task deleted successfully"}'
_TEXT: Final = {"required": True, "schema": {"type": "string"}}
RECEIPT: Final[dict[str, Any]] = {
    "Tasklog-Position": {
        "description": "The last position of the user's history after the write",
        "schema": {"type": "integer"},
    },
    "Tasklog-Hash": {
        "description": "The hash of the event at this position, as in /history",
        "schema": {"type": "string"},
    },
}
_ETAG: Final = {"ETag": {"description": "The task's version, and a digest of the answer", **_TEXT}}
_LOCATION: Final = {"Location": {"description": "The path of the task", **_TEXT}}


class CommandState(EdgeState):
    """What the lifespan of the command API opens."""

    queues: CommandQueues
    database: Database


router = Router(tags=["tasks"])


def json_of(model: type[JsonBody], *, optional: bool = False) -> dict[str, Any]:
    """Describe the body of a request."""
    schema = reference(model)
    if optional:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return {"required": not optional, "content": {"application/json": {"schema": schema}}}


def _answer(description: str, headers: dict[str, Any]) -> dict[str, Any]:
    return {"model": TaskObject, "description": description, "headers": headers}


@router.post(
    TASKS,
    summary="Create a task",
    status_code=201,
    responses={
        201: _answer("The new task", _ETAG | _LOCATION | RECEIPT),
        **problems(401, 403, 409, 412, 413, 415, 422, 429),
    },
    openapi_extra=task_route(parameters=("user_id", "idempotency_key"), requestBody=json_of(CreateTaskBody)),
)
async def create_task(request: Request) -> Response:
    """Add a task that is not completed. `Location` names its path."""
    user_id = await authorized_user(request)
    body = await json_body(request, CreateTaskBody)
    done = await _carry_out(request, user_id, None, body.command())
    return _task(user_id, done, 201)


@router.put(
    TASK,
    summary="Edit a task",
    responses={200: _answer("The task", _ETAG | RECEIPT), **problems(401, 403, 404, 409, 412, 413, 415, 422, 429)},
    openapi_extra=task_route(
        parameters=("user_id", "task_id", "if_match", "idempotency_key"), requestBody=json_of(EditTaskBody)
    ),
)
async def edit_task(request: Request) -> Response:
    """Change the fields that are given, and keep the others. A request that changes nothing adds no event."""
    user_id = await authorized_user(request)
    task_id = path_task_id(request)
    body = await json_body(request, EditTaskBody)
    return _task(user_id, await _carry_out(request, user_id, task_id, body.command()))


@router.patch(
    TASK,
    summary="Edit a task, as PUT does",
    responses={200: _answer("The task", _ETAG | RECEIPT), **problems(401, 403, 404, 409, 412, 413, 415, 422, 429)},
    openapi_extra=task_route(
        parameters=("user_id", "task_id", "if_match", "idempotency_key"),
        requestBody=json_of(EditTaskBody, optional=True),
    ),
)
async def patch_task(request: Request) -> Response:
    """Absent fields are kept, so an empty body changes nothing."""
    user_id = await authorized_user(request)
    task_id = path_task_id(request)
    body = await json_body(request, EditTaskBody, absent=UNCHANGED)
    return _task(user_id, await _carry_out(request, user_id, task_id, body.command()))


@router.patch(
    TASK + "/complete",
    summary="Complete, reopen or toggle a task",
    responses={200: _answer("The task", _ETAG | RECEIPT), **problems(401, 403, 404, 409, 412, 413, 415, 422, 429)},
    openapi_extra=task_route(
        parameters=("user_id", "task_id", "if_match", "idempotency_key"),
        requestBody=json_of(CompletionBody, optional=True),
    ),
)
async def complete_task(request: Request) -> Response:
    """Toggle the task, if there is no body or an empty one; otherwise set it to `completed`."""
    user_id = await authorized_user(request)
    task_id = path_task_id(request)
    body = await json_body(request, CompletionBody, absent=TOGGLE)
    return _task(user_id, await _carry_out(request, user_id, task_id, body.command()))


@router.delete(
    TASK,
    summary="Delete a task",
    responses={
        200: {"model": TaskDeleted, "description": "The task is deleted", "headers": RECEIPT},
        **problems(401, 403, 404, 409, 412, 422, 429),
    },
    openapi_extra=task_route(parameters=("user_id", "task_id", "if_match", "idempotency_key")),
)
async def delete_task(request: Request) -> Response:
    """Delete the task: it goes to the trash, and its history stays. A second deletion gets a 404. A body is ignored."""
    user_id = await authorized_user(request)
    done = await _carry_out(request, user_id, path_task_id(request), DeleteTask())
    return json_response(_DELETED, headers=receipt_headers(done.receipt))


@router.post(
    COMMANDS,
    summary="Carry out many commands",
    responses={
        200: {
            "description": "The result of each command, in order",
            "headers": RECEIPT,
            "content": {"application/json": {"schema": reference(CommandsAnswer)}},
        },
        **problems(401, 403, 413, 415, 422, 429),
    },
    openapi_extra=task_route(parameters=("user_id",), requestBody=json_of(CommandsBody)),
)
async def carry_out_commands(request: Request) -> Response:
    """Up to 100 commands in order, each its own: one's failure is its own, and of those that refer to its task."""
    user_id = await authorized_user(request)
    asked = await commands_of(request)
    state = state_of(request)
    call = Call(user_id, record_of(request).request_id, asked)
    carried = await call.carry_out(state["database"], state["queues"])
    receipt = last_receipt(carried)
    return json_response(commands_answer(user_id, carried, receipt), headers=receipt_headers(receipt))


@router.post(
    TASK + "/restore",
    summary="Restore a deleted task",
    responses={200: _answer("The task", _ETAG | RECEIPT), **problems(401, 403, 404, 409, 412, 422, 429)},
    openapi_extra=task_route(parameters=("user_id", "task_id", "if_match", "idempotency_key")),
)
async def restore_task(request: Request) -> Response:
    """Give a deleted task back as it was. A task that is not deleted stays as it is. A body is ignored."""
    user_id = await authorized_user(request)
    return _task(user_id, await _carry_out(request, user_id, path_task_id(request), RestoreTask()))


def state_of(request: Request) -> CommandState:
    """Return what the lifespan opened."""
    return cast("CommandState", request.scope["state"])


async def _carry_out(request: Request, user_id: str, task_id: int | None, command: TaskCommand) -> Done:
    """Return the task's state after the command, which was committed, and its receipt.

    Raises:
        ProblemError: a precondition is malformed; and what CommandQueue.execute raises.
    """
    versions, key = if_match(request), idempotency_key(request)
    return await state_of(request)["queues"].execute(
        CommandRequest(
            user_id=user_id,
            task_id=task_id,
            command=command,
            request_id=record_of(request).request_id,
            if_match=versions,
            idempotency_key=None if key is None else key_with_digest(key, task_id, command, versions),
        )
    )


def _task(user_id: str, done: Done, status: int = 200) -> Response:
    """Return the answer of a command that leaves a task."""
    task = done.state
    assert isinstance(task, Task), "only a deletion leaves no task"
    answer = task_body(user_id, task)
    headers = {"ETag": task_tag(task.version, answer), **receipt_headers(done.receipt)}
    if status == 201:  # noqa: PLR2004
        headers["Location"] = f"/api/{quote(user_id, safe='')}/tasks/{task.id}"
    return json_response(answer, status, headers)


def receipt_headers(receipt: Receipt | None) -> dict[str, str]:
    """Return the headers of a receipt."""
    return {} if receipt is None else {"Tasklog-Position": str(receipt.position), "Tasklog-Hash": receipt.hash}

"""Undo over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from command_api.idempotency import undo_key_with_digest
from command_api.preconditions import idempotency_key, if_match
from command_api.routes import RECEIPT, json_of, receipt_headers, state_of
from command_api.schemas import NEWEST, UndoBody
from command_api.schemas import Undone as UndoneObject
from command_api.undo import Undone, UndoRequest, undo
from domain.task import Task
from edge.authorization import authorized_user
from edge.bodies import json_body
from edge.openapi import problems, task_route
from edge.requests import record_of
from edge.routing import Router
from edge.service import json_response
from read_model.body import task_body

router = Router(tags=["history"])


@router.post(
    "/api/{user_id}/undo",
    summary="Undo a change",
    responses={
        200: {"model": UndoneObject, "description": "It is undone", "headers": RECEIPT},
        **problems(401, 403, 404, 409, 412, 413, 415, 422, 429),
    },
    openapi_extra=task_route(
        parameters=("user_id", "if_match", "idempotency_key"), requestBody=json_of(UndoBody, optional=True)
    ),
)
async def undo_change(request: Request) -> Response:
    """The fields that the command at the position changed are what they were before it, as new events.

    Without a position it is the newest change that is not undone yet. An undo is undone by its own position.
    """
    user_id = await authorized_user(request)
    body = await json_body(request, UndoBody, absent=NEWEST)
    versions, key = if_match(request), idempotency_key(request)
    state = state_of(request)
    asked = UndoRequest(
        user_id=user_id,
        position=body.position,
        request_id=record_of(request).request_id,
        if_match=versions,
        idempotency_key=None if key is None else undo_key_with_digest(key, body.position, versions),
    )
    done = await undo(state["database"], state["queues"], asked)
    return json_response(_body(user_id, done), headers=receipt_headers(done.receipt))


def _body(user_id: str, done: Undone) -> bytes:
    tasks = task_body(user_id, done.state) if isinstance(done.state, Task) else b""
    deleted = b"" if isinstance(done.state, Task) else b"%d" % done.state.id
    return b'{"undone":%d,"position":%d,"tasks":[%b],"deleted":[%b]}' % (done.undone, done.position, tasks, deleted)

"""The endpoints of changes: what is different since a token, at once, after waiting for it, or as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import EdgeState, authorized_user
from edge.event_stream import EventStream
from edge.openapi import Task as TaskObject
from edge.openapi import problems, task_route
from edge.requests import header_value
from edge.routing import Router
from read_api.change_stream import ChangeSource, wait_for_changes
from read_api.compression import LONG_ANSWER, json_answer, json_in_parts
from read_api.schemas import LIMIT, number
from read_model.bookmark import read_bookmark

if TYPE_CHECKING:
    from edge.holds import Holds
    from edge.requests import ServiceRequest
    from read_api.change_reader import ChangeReader
    from read_api.changes import Changes
    from read_api.listeners import Listeners

LONGEST_WAIT_SECONDS: Final = 30

_HEADERS: Final = {"Cache-Control": "private, no-store"}
_SINCE: Final[dict[str, Any]] = {
    "name": "since",
    "in": "query",
    "description": "The `token` of an earlier answer; without it, all tasks",
    "schema": {"type": "string"},
}
_LAST_EVENT_ID: Final[dict[str, Any]] = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that was read; it wins over `since`",
    "schema": {"type": "string"},
}
_WAIT: Final[dict[str, Any]] = {
    "name": "wait",
    "in": "query",
    "description": "How many seconds to wait for a change, if there is none since the token",
    "schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_SECONDS, "default": 0},
}
_LIMIT: Final[dict[str, Any]] = {
    "name": "limit",
    "in": "query",
    "description": "The most tasks of an answer, deleted ones included",
    "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT, "default": LIMIT},
}


class ChangeState(EdgeState):
    """What the lifespan of the read API opens for changes."""

    changes: ChangeReader
    listeners: Listeners
    holds: Holds


class ChangedTasks(BaseModel):
    """What is different from what it was at a token: each task once, as it is now."""

    token: str = Field(description="Ask with it for what comes after this answer; opaque")
    position: int = Field(
        description="Of the user's history: writes up to here are in the tasks, once there is no more"
    )
    more: bool = Field(description="There is more at once: ask with the token")
    tasks: list[TaskObject] = Field(description="Tasks that are new or changed, whole")
    deleted: list[int] = Field(description="Ids of tasks that are gone")


router = Router(tags=["changes"])


def _described(**more: Any) -> dict[str, Any]:
    described = task_route(parameters=("user_id",))
    described["parameters"] += more["parameters"]
    return described


@router.get(
    "/api/{user_id}/changes",
    summary="Read what changed",
    responses={
        200: {"model": ChangedTasks, "description": "What is different since the token", "headers": LONG_ANSWER},
        **problems(401, 403, 410, 422, 429),
    },
    openapi_extra=_described(parameters=[_SINCE, _LIMIT, _WAIT]),
)
async def read_changes(request: Request) -> Response:
    """The tasks that are different since a token, and a token to go on from; without one, all tasks."""
    user_id = await authorized_user(request)
    parameters = request.query_params
    limit = number("limit", parameters.get("limit", str(LIMIT)), 1, LIMIT)
    seconds = number("wait", parameters.get("wait", "0"), 0, LONGEST_WAIT_SECONDS)
    source = _source(request, user_id, parameters.get("since"), limit)
    found = await source.changes()
    if found.is_empty and seconds and parameters.get("since"):
        found = await wait_for_changes(source, cast("ServiceRequest", request), _state(request)["holds"], seconds)
    return await _answer(request, found)


@router.get(
    "/api/{user_id}/changes/stream",
    summary="Follow what changes",
    responses={
        200: {
            "description": "Events: `id` is a token, and `data` what /changes answers",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(401, 403, 410, 422, 429),
    },
    openapi_extra=_described(parameters=[_SINCE, _LAST_EVENT_ID]),
)
async def stream_changes(request: Request) -> Response:
    """The same as a stream of events (Server-Sent Events): the first at once, the next ones as the tasks change."""
    user_id = await authorized_user(request)
    since = header_value(request, b"last-event-id") or request.query_params.get("since")
    source = _source(request, user_id, since, LIMIT)
    return EventStream(cast("ServiceRequest", request), _state(request)["holds"], source)


async def _answer(request: Request, found: Changes) -> Response:
    if found.parts is not None:
        return json_in_parts(request, found.body_in_parts(), _HEADERS)
    return await json_answer(request, found.body, _HEADERS)


def _source(request: Request, user_id: str, since: str | None, limit: int) -> ChangeSource:
    state = _state(request)
    return ChangeSource(state["changes"], state["listeners"], user_id, read_bookmark(since) if since else None, limit)


def _state(request: Request) -> ChangeState:
    return cast("ChangeState", request.scope["state"])

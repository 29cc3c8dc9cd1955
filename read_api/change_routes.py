"""The endpoints of changes: what is different since a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from fastapi.routing import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import authorized_user
from edge.openapi import Task as TaskObject
from edge.openapi import problems, task_route
from edge.service import ReadyRoute
from read_api.compression import LONG_ANSWER, json_answer, json_in_parts
from read_api.schemas import LIMIT, number
from read_model.bookmark import Bookmark, read_bookmark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from read_api.change_reader import ChangeReader
    from read_api.changes import Changes

_HEADERS: Final = {"Cache-Control": "private, no-store"}
_SINCE: Final[dict[str, Any]] = {
    "name": "since",
    "in": "query",
    "description": "The `token` of an earlier answer; without it, all tasks",
    "schema": {"type": "string"},
}
_LIMIT: Final[dict[str, Any]] = {
    "name": "limit",
    "in": "query",
    "description": "The most tasks of an answer, deleted ones included",
    "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT, "default": LIMIT},
}


class ChangedTasks(BaseModel):
    """What is different from what it was at a token: each task once, as it is now."""

    token: str = Field(description="Ask with it for what comes after this answer; opaque")
    more: bool = Field(description="There is more at once: ask with the token")
    tasks: list[TaskObject] = Field(description="Tasks that are new or changed, whole")
    deleted: list[int] = Field(description="Ids of tasks that are gone")


router = APIRouter(route_class=ReadyRoute, tags=["changes"])


def _described(**more: Any) -> dict[str, Any]:
    described = task_route(parameters=("user_id",))
    described["parameters"] += more["parameters"]
    return described


@router.get(
    "/api/{user_id}/changes",
    summary="Read what changed",
    response_class=Response,
    responses={
        200: {"model": ChangedTasks, "description": "What is different since the token", "headers": LONG_ANSWER},
        **problems(401, 403, 410, 422, 429),
    },
    openapi_extra=_described(parameters=[_SINCE, _LIMIT]),
)
async def read_changes(request: Request) -> Response:
    """The tasks that are different since a token, and a token to go on from; without one, all tasks."""
    user_id = await authorized_user(request)
    parameters = request.query_params
    since, limit = _since(parameters), number("limit", parameters.get("limit", str(LIMIT)), 1, LIMIT)
    return await _answer(request, await _reader(request).changes(user_id, since, limit))


async def _answer(request: Request, found: Changes) -> Response:
    if found.parts is not None:
        return json_in_parts(request, found.body_in_parts(), _HEADERS)
    return await json_answer(request, found.body, _HEADERS)


def _since(parameters: Mapping[str, str]) -> Bookmark | None:
    text = parameters.get("since")
    return read_bookmark(text) if text else None


def _reader(request: Request) -> ChangeReader:
    reader: ChangeReader = cast("dict[str, Any]", request.scope["state"])["changes"]
    return reader

"""The read endpoints: what is asked, and the answer as ready bytes with its validator."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlencode

from fastapi.routing import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from edge.openapi import Task as TaskObject
from edge.openapi import problems, task_route
from edge.owner import EdgeState, owner, path_task_id, task_not_found
from edge.service import ReadyRoute, json_response
from read_api.cursor import encode
from read_api.queries import get_task, list_tasks
from read_api.schemas import LIST_PARAMETERS, task_query

if TYPE_CHECKING:
    from read_api.queries import TaskPage, TaskQuery
    from runtime.database import Database

_CACHING: Final = "private, no-cache"
_TEXT: Final = {"schema": {"type": "string"}}
_LIST_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "Of the user's last change and the query", **_TEXT},
    "Link": {"description": 'With a limit, where there is more: the next page, rel="next"', **_TEXT},
    "X-Total-Count": {"description": "With a limit: the tasks on all pages", "schema": {"type": "integer"}},
}
_TASK_HEADERS: Final = {"ETag": {"description": "The task's version", **_TEXT}}
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {304: {"description": "Unchanged since If-None-Match"}}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an answer that is at hand",
    **_TEXT,
}


class ReadState(EdgeState):
    """What the lifespan of the read API opens."""

    database: Database


router = APIRouter(route_class=ReadyRoute, tags=["tasks"])


def _reading(*path: str, parameters: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    described = task_route(parameters=path)
    described["parameters"] += [*parameters, _IF_NONE_MATCH]
    return described


@router.get(
    "/api/{user_id}/tasks",
    summary="List tasks",
    response_class=Response,
    responses={
        200: {"model": list[TaskObject], "description": "A bare array", "headers": _LIST_HEADERS},
        **_UNCHANGED,
        **problems(400, 401, 403, 422, 429),
    },
    openapi_extra=_reading("user_id", parameters=tuple(LIST_PARAMETERS)),
)
async def read_tasks(request: Request) -> Response:
    """All tasks of the user that match, or a page of them; every acknowledged write is in it."""
    user_id = await owner(request)
    query = task_query(request.query_params)
    page = await list_tasks(_database(request), user_id, query)
    headers = {"ETag": _list_etag(page.head, query), "Cache-Control": _CACHING}
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
    if page.next is not None:
        headers["Link"] = f'<{_next_page(user_id, query, page)}>; rel="next"'
    return _validated(request, page.body, headers)


@router.get(
    "/api/{user_id}/tasks/{task_id}",
    summary="Read a task",
    response_class=Response,
    responses={
        200: {"model": TaskObject, "description": "The task", "headers": _TASK_HEADERS},
        **_UNCHANGED,
        **problems(401, 403, 404, 422, 429),
    },
    openapi_extra=_reading("user_id", "task_id"),
)
async def read_task(request: Request) -> Response:
    """One task of the user, as it is after every acknowledged write."""
    user_id = await owner(request)
    task = await get_task(_database(request), user_id, path_task_id(request))
    if task is None:
        raise task_not_found(request)
    return _validated(request, task.body, {"ETag": f'"{task.version}"', "Cache-Control": _CACHING})


def _database(request: Request) -> Database:
    return cast("ReadState", request.scope["state"])["database"]


def _list_etag(head: int, query: TaskQuery) -> str:
    """The user's last position, which every change moves, and a mark of the query where it is not the plain one."""
    asked = (query.status, query.sort, query.limit, query.after)
    if asked == ("all", "created", None, None):
        return f'"{head}"'
    return f'"{head}-{blake2b(repr(asked).encode(), digest_size=6).hexdigest()}"'


def _next_page(user_id: str, query: TaskQuery, page: TaskPage) -> str:
    """A path-absolute reference: right behind any gateway, whatever host it is called by."""
    assert page.next is not None
    asked = {"status": query.status, "sort": query.sort, "limit": query.limit, "cursor": encode(page.next)}
    return f"/api/{quote(user_id, safe='')}/tasks?{urlencode(asked)}"


def _validated(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """The body, or 304 where the client has it already."""
    known = request.headers.get("if-none-match")
    if known is not None and _matches(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return json_response(body, headers=headers)


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110's weak comparison: gateways that compress mark validators as weak."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]

"""The read endpoints: they parse the query, and answer with ready bytes and an ETag."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import EdgeState, authorized_user, path_task_id, task_not_found
from edge.etags import not_modified
from edge.openapi import Task as TaskObject
from edge.openapi import problems, task_route
from edge.problems import invalid
from edge.requests import header_value
from edge.routing import Router
from edge.service import json_response
from read_api.compression import LONG_ANSWER, json_answer, json_in_parts
from read_api.cursor import encode
from read_api.etags import entity_tag
from read_api.history import history
from read_api.history_schemas import HISTORY_PARAMETERS, History, history_query
from read_api.long_lists import task_at
from read_api.reader import Reader
from read_api.schemas import AS_OF, LIST_PARAMETERS, Stats, as_of, check_as_of, link_parameters, task_query
from read_api.stats import stats
from read_api.time_travel import FutureError, list_tasks_as_of, moment
from read_model.body import task_tag

if TYPE_CHECKING:
    from event_log.append import Fetching
    from read_api.history import HistoryPage, HistoryQuery
    from read_api.queries import TaskPage, TaskQuery
    from read_api.time_travel import Moment

CACHING: Final = "private, no-cache"
_POSITION: Final = "Tasklog-Position"
_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}}
ALWAYS: Final[dict[str, Any]] = {"required": True, **_TEXT}
NEXT: Final = {"Link": {"description": 'The path of the next page, rel="next"; absent on the last page', **_TEXT}}
_LIST_HEADERS: Final[dict[str, Any]] = {
    **NEXT,
    "ETag": {"description": "Changes with the user's tasks (or with `as_of`) and with the query", **ALWAYS},
    **LONG_ANSWER,
    "X-Total-Count": {"description": "With `limit`: the number of tasks on all pages", "schema": {"type": "integer"}},
    _POSITION: {"description": "The position of the user's history that the list shows", "schema": {"type": "integer"}},
}
_TASK_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "The task's version and a digest of the answer", **ALWAYS},
    _POSITION: {"description": "With `as_of`: the position that is shown", "schema": {"type": "integer"}},
}
_STATS_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "Of the user's last change and the numbers", **ALWAYS},
    _POSITION: {"description": "The position in the user's history that is counted", "schema": {"type": "integer"}},
}
_HISTORY_HEADERS: Final[dict[str, Any]] = {
    **NEXT,
    "ETag": {"description": "Changes with the user's history and with the query", **ALWAYS},
    **LONG_ANSWER,
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an earlier answer; if it still holds, the answer is a 304 without a body",
    **_TEXT,
}


def read_answer(model: Any, description: str, headers: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Describe the answer of a read, and the 304 for an unchanged one, with the headers that it repeats."""
    kept = {name: headers[name] for name in ("ETag", _POSITION, "Link") if name in headers}
    return {
        200: {"model": model, "description": description, "headers": headers},
        304: {"description": "Unchanged since If-None-Match", "headers": kept},
    }


class ReadState(EdgeState):
    """What the lifespan of the read API opens."""

    reader: Reader


router = Router(tags=["tasks"])


def read_route(*path: str, parameters: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """Describe the route of a read; `path` names its parameters in the path."""
    described = task_route(parameters=path)
    described["parameters"] += [*parameters, _IF_NONE_MATCH]
    return described


@router.get(
    "/api/{user_id}/tasks",
    summary="List tasks",
    responses={
        **read_answer(list[TaskObject], "A bare array", _LIST_HEADERS),
        **problems(400, 401, 403, 422, 429),
    },
    openapi_extra=read_route("user_id", parameters=LIST_PARAMETERS),
)
async def read_tasks(request: Request) -> Response:
    """The user's tasks that match, as a bare array. It includes every acknowledged write."""
    user_id = await authorized_user(request)
    query = task_query(request.query_params)
    if query.as_of is not None:
        return await _past_tasks(request, user_id, query, query.as_of)
    etag, page = await reader_of(request).list(user_id, query, header_value(request, b"if-none-match"))
    if page is None:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": CACHING})
    return await _list(request, user_id, query, page, etag)


async def _list(request: Request, user_id: str, query: TaskQuery, page: TaskPage, etag: str) -> Response:
    headers = _list_headers(request, user_id, query, page, etag)
    if page.parts is not None:
        return json_in_parts(request, page.parts, headers)
    return await json_answer(request, page.body, headers)


async def _past_tasks(request: Request, user_id: str, query: TaskQuery, when: int | datetime) -> Response:
    then = await _moment(request, user_id, when)
    check_as_of(query.after, then.position)
    etag = entity_tag(then, replace(query, as_of=None))
    unchanged = not_modified(request, {"ETag": etag, "Cache-Control": CACHING, _POSITION: str(then.position)})
    if unchanged is not None:
        return unchanged
    page = await list_tasks_as_of(reader_of(request).turns.of(user_id), user_id, query, then.position)
    return await _list(request, user_id, query, page, etag)


@router.get(
    "/api/{user_id}/stats",
    summary="Count tasks",
    responses={**read_answer(Stats, "The user's tasks by number", _STATS_HEADERS), **problems(401, 403, 422, 429)},
    openapi_extra=read_route("user_id"),
)
async def read_stats(request: Request) -> Response:
    """How many tasks the user has, as they are after every acknowledged write."""
    user_id = await authorized_user(request)
    turn = reader_of(request).turns.of(user_id)
    head, counts = await stats(rows_of(request, user_id), turn, user_id, datetime.now(UTC))
    headers = {"ETag": entity_tag(head, counts), "Cache-Control": CACHING, _POSITION: str(head.position)}
    return not_modified(request, headers) or json_response(counts.body(), headers=headers)


@router.get(
    "/api/{user_id}/tasks/{task_id}",
    summary="Read a task",
    responses={
        **read_answer(TaskObject, "The task", _TASK_HEADERS),
        **problems(401, 403, 404, 422, 429),
    },
    openapi_extra=read_route("user_id", "task_id", parameters=(AS_OF,)),
)
async def read_task(request: Request) -> Response:
    """One task of the user. It includes every acknowledged write."""
    user_id = await authorized_user(request)
    task_id, when = path_task_id(request), as_of(request.query_params)
    headers = {"Cache-Control": CACHING}
    if when is None:
        task = await reader_of(request).task(user_id, task_id)
        at = ""
    else:
        then = await _moment(request, user_id, when)
        task = await task_at(reader_of(request).turns.of(user_id), user_id, task_id, then.position)
        headers[_POSITION] = str(then.position)
        at = f"@{then}"
    if task is None:
        raise task_not_found(request)
    headers["ETag"] = task_tag(f"{task.version}{at}", task.body)
    # Never compressed: compression weakens the ETag, and If-Match only accepts strong ones.
    return not_modified(request, headers) or json_response(task.body, headers=headers)


@router.get(
    "/api/{user_id}/tasks/{task_id}/history",
    summary="Read a task's history",
    tags=["history"],
    responses={
        **read_answer(History, "The task's events, oldest first", _HISTORY_HEADERS),
        **problems(401, 403, 404, 422, 429),
    },
    openapi_extra=read_route("user_id", "task_id", parameters=HISTORY_PARAMETERS),
)
async def read_task_history(request: Request) -> Response:
    """All events of one task, oldest first; also of a deleted one."""
    user_id = await authorized_user(request)
    query = history_query(request.query_params, path_task_id(request))
    page = await history(reader_of(request).turns.of(user_id), user_id, query)
    if page is None:
        raise task_not_found(request)
    return await _history(request, user_id, query, page)


@router.get(
    "/api/{user_id}/history",
    summary="Read the user's history",
    tags=["history"],
    responses={
        **read_answer(History, "The user's events, oldest first", _HISTORY_HEADERS),
        **problems(401, 403, 422, 429),
    },
    openapi_extra=read_route("user_id", parameters=HISTORY_PARAMETERS),
)
async def read_history(request: Request) -> Response:
    """All events of the user, oldest first. Each has a hash over itself and the previous one, so any change shows."""
    user_id = await authorized_user(request)
    query = history_query(request.query_params)
    page = await history(reader_of(request).turns.of(user_id), user_id, query)
    assert page is not None
    return await _history(request, user_id, query, page)


async def _history(request: Request, user_id: str, query: HistoryQuery, page: HistoryPage) -> Response:
    headers = {"ETag": entity_tag(page.head, query), "Cache-Control": CACHING}
    if page.next is not None:
        asked = {"after": page.next, "limit": query.limit} | ({"type": query.type} if query.type else {})
        path = "history" if query.task_id is None else f"tasks/{query.task_id}/history"
        headers["Link"] = next_link(user_id, path, asked)
    return not_modified(request, headers) or await json_answer(request, page.body, headers)


def rows_of(request: Request, user_id: str) -> Fetching:
    """Return the database for a light statement about a user."""
    return reader_of(request).rows.of([user_id])


def reader_of(request: Request) -> Reader:
    """Return the reader of the process."""
    return cast("ReadState", request.scope["state"])["reader"]


async def _moment(request: Request, user_id: str, when: int | datetime) -> Moment:
    try:
        return await moment(rows_of(request, user_id), user_id, when)
    except FutureError:
        raise invalid("as_of", "is in the future: the user's history has not reached it") from None


def _list_headers(request: Request, user_id: str, query: TaskQuery, page: TaskPage, etag: str) -> dict[str, str]:
    headers = {"ETag": etag, "Cache-Control": CACHING, _POSITION: str(page.head.position)}
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
    if page.next is not None:
        past = [] if query.as_of is None else [("as_of", page.head.position)]
        asked = [*link_parameters(request.query_params, query), ("limit", query.limit), ("cursor", encode(page.next))]
        headers["Link"] = next_link(user_id, "tasks", [*asked, *past])
    return headers


def next_link(user_id: str, path: str, asked: Any) -> str:
    """Return a reference with an absolute path but no host: it works behind any gateway."""
    return f'</api/{quote(user_id, safe="")}/{path}?{urlencode(asked)}>; rel="next"'

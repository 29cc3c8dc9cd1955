"""The trash over HTTP: its parameters, its headers, and the shape of the answer."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import authorized_user
from edge.etags import not_modified
from edge.openapi import TASK_EXAMPLE, problems
from edge.openapi import Task as TaskObject
from edge.problems import invalid
from edge.routing import Router
from read_api.compression import LONG_ANSWER, json_answer, json_in_parts
from read_api.cursor import CursorError
from read_api.etags import entity_tag
from read_api.routes import ALWAYS, CACHING, NEXT, next_link, read_answer, read_route, reader_of
from read_api.schemas import LIMIT, number
from read_api.trash import TrashQuery, decode, encode, trash

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "limit",
        "in": "query",
        "description": "The length of a page; without it, all",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT},
    },
    {
        "name": "cursor",
        "in": "query",
        "description": "Where the page begins: from the `Link` of the page before",
        "schema": {"type": "string", "format": "trash-cursor", "minLength": 1},
    },
)
_HEADERS: Final[dict[str, Any]] = {
    **NEXT,
    "ETag": {"description": "Of the user's last change and the query", **ALWAYS},
    **LONG_ANSWER,
    "X-Total-Count": {"description": "With a limit: the tasks on all pages", "schema": {"type": "integer"}},
    "Tasklog-Position": {
        "description": "The position in the user's history that is shown",
        "schema": {"type": "integer"},
    },
}

router = Router(tags=["tasks"])


class DeletedTask(TaskObject):
    """A task as it was, and when it was deleted."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**TASK_EXAMPLE, "deleted_at": "2026-02-08T09:30:00.654321Z"}}
    )

    deleted_at: datetime = Field(description="When it was deleted")


@router.get(
    "/api/{user_id}/trash",
    summary="List deleted tasks",
    responses={
        **read_answer(list[DeletedTask], "A bare array, newest deletion first", _HEADERS),
        **problems(401, 403, 422, 429),
    },
    openapi_extra=read_route("user_id", parameters=_PARAMETERS),
)
async def read_trash(request: Request) -> Response:
    """All deleted tasks of the user, or a page of them; each can be restored."""
    user_id = await authorized_user(request)
    query = _trash_query(request.query_params)
    database = reader_of(request).turns.of(user_id)
    page = await trash(database, user_id, query)
    headers = {
        "ETag": entity_tag(page.head, query),
        "Cache-Control": CACHING,
        "Tasklog-Position": str(page.head.position),
    }
    if page.next is not None:
        headers["Link"] = next_link(user_id, "trash", {"limit": query.limit, "cursor": encode(page.next)})
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
    parts = page.parts(database)
    if page.is_short:
        return await json_answer(request, b"".join([part async for part in parts]), headers)
    return json_in_parts(request, parts, headers)


def _trash_query(parameters: Mapping[str, str]) -> TrashQuery:
    length, cursor = parameters.get("limit"), parameters.get("cursor")
    try:
        before = None if cursor is None else decode(cursor)
    except CursorError:
        raise invalid("cursor", "must come from the Link of a page of the trash") from None
    return TrashQuery(limit=None if length is None else number("limit", length, 1, LIMIT), before=before)

"""A user's stored events over HTTP: their path, their headers, and the shape of the answer."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import authorized_user
from edge.etags import not_modified
from edge.openapi import problems
from edge.routing import Router
from read_api.compression import LONG_ANSWER, json_answer
from read_api.etags import entity_tag
from read_api.history_schemas import AFTER, LAST_POSITION, EventType, Head
from read_api.routes import ALWAYS, CACHING, NEXT, next_link, read_answer, read_route, reader_of
from read_api.schemas import number
from read_api.stored_events import EventsQuery, stored_events

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_PAGE: Final = 5000
"""The most events of a page, which is bounded in bytes too."""
_PAGE: Final = 1000
_POSITION: Final = "Tasklog-Position"
_HEADERS: Final[dict[str, Any]] = {
    **NEXT,
    "ETag": {"description": "Changes with the user's history and with the query", **ALWAYS},
    _POSITION: {"description": "The position of `head`", "required": True, "schema": {"type": "integer"}},
    **LONG_ANSWER,
}
_PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    AFTER,
    {
        "name": "limit",
        "in": "query",
        "description": "The most events of a page; a page holds 2 MiB at most, and so may have fewer",
        "schema": {"type": "integer", "minimum": 1, "maximum": _LONGEST_PAGE, "default": _PAGE},
    },
)

router = Router(tags=["history"])


class StoredEvent(BaseModel):
    """An event as it is stored. It has the members that an event of the history has under the same name.

    `data` is a JSON object: what the event set, by the names of a task's fields. Where a new task's field is left out,
    it has its default. The content_digest of the history is `erased_digest` here if it is given, otherwise sha256 (hex)
    over `metadata`, a line feed and `data`.
    """

    position: int
    task_id: int | None
    version: int
    event_id: UUID
    type: EventType
    schema_version: int
    recorded_at: datetime
    data: str | None = Field(description="The stored JSON text, as it was hashed; null once erased")
    metadata: str | None = Field(description="The stored JSON text, as it was hashed; null once erased")
    erased_digest: str | None = Field(description="The content_digest, once the text is erased; else null")
    hash: str


class StoredEvents(BaseModel):
    """A page of a user's events, oldest first."""

    model_config = ConfigDict(title="StoredEvents")

    user_id: str
    head: Head
    events: list[StoredEvent]
    next: int | None = Field(description="The `after` of the next page; null on the last page")


@router.get(
    "/api/{user_id}/events",
    summary="Read the stored events",
    responses={
        **read_answer(StoredEvents, "The user's events, oldest first", _HEADERS),
        **problems(401, 403, 422, 429),
    },
    openapi_extra=read_route("user_id", parameters=_PARAMETERS),
)
async def read_events(request: Request) -> Response:
    """The user's events with all that is hashed, and no more: to check the chain, or to fold them, in few requests."""
    user_id = await authorized_user(request)
    query = _query(request.query_params)
    page = await stored_events(reader_of(request).turns.of(user_id), user_id, query)
    headers = {"ETag": entity_tag(page.head, query), "Cache-Control": CACHING, _POSITION: str(page.head.position)}
    if page.next is not None:
        headers["Link"] = next_link(user_id, "events", {"after": page.next, "limit": query.limit})
    return not_modified(request, headers) or await json_answer(request, page.body, headers)


def _query(parameters: Mapping[str, str]) -> EventsQuery:
    """Return the query of some parameters; unknown parameters are ignored.

    Raises:
        ProblemError: a value is not valid (422).
    """
    return EventsQuery(
        after=number("after", parameters.get("after", "0"), 0, LAST_POSITION),
        limit=number("limit", parameters.get("limit", str(_PAGE)), 1, _LONGEST_PAGE),
    )

"""In which cell a user's tasks are, for gateways: see docs/operate/cells.md."""

from __future__ import annotations

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from edge.authorization import authenticated_user
from edge.errors import CELL
from edge.openapi import problems
from edge.routing import Router
from edge.service import json_response
from event_log.elsewhere import ELSEWHERE, ElsewhereError, elsewhere
from read_api.routes import rows_of

router = Router(tags=["service"])


class CellOfUser(BaseModel):
    """Where a user's tasks are."""

    cell: str | None = Field(description="The other cell, where the user's tasks moved; null if they did not leave")


@router.get(
    "/cell",
    summary="Find a user's cell",
    responses={
        200: {
            "model": CellOfUser,
            "description": "Where the tasks of the token's user are",
            "headers": {CELL: {"description": "The other cell", "schema": {"type": "string"}}},
        },
        **problems(401),
    },
    openapi_extra={"security": [{"bearer": []}]},
)
async def read_cell(request: Request) -> Response:
    """Whether the tasks of the token's user moved to another cell. A gateway asks this before it sends a body."""
    user_id = await authenticated_user(request)
    place = elsewhere((await rows_of(request, user_id).fetch(ELSEWHERE, user_id))[0][0])
    cell = place.cell if isinstance(place, ElsewhereError) else None
    headers = {"Cache-Control": "private, no-store"} | ({} if cell is None else {CELL: cell})
    return json_response(orjson.dumps({"cell": cell}), headers=headers)

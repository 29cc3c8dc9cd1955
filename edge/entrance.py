"""The route of `/`: a browser is redirected to the console; every other client gets the JSON of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from edge.accept import prefers_html
from edge.requests import header_values
from edge.service import ROOT, json_response

if TYPE_CHECKING:
    from starlette.requests import Request

    from runtime.settings import Settings

CONSOLE: Final = "/console"

_SEE_OTHER: Final = 303
_BY_ACCEPT: Final = {"Vary": "Accept"}


def entrance(settings: Settings) -> list[Route]:
    """Return the route of `/`; none if the console is off, because then edge/service.py answers everybody."""
    return [Route("/", _enter, methods=["GET"])] if settings.console else []


async def _enter(request: Request) -> Response:
    accept = b",".join(header_values(request, b"accept")).decode("latin-1")
    if prefers_html(accept):
        return Response(status_code=_SEE_OTHER, headers={"Location": CONSOLE, **_BY_ACCEPT})
    return json_response(ROOT, headers=dict(_BY_ACCEPT))

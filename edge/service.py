"""A service's HTTP interface: its task routes, with what both services have in common around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from edge.cors import Cors
from edge.documentation import documentation
from edge.errors import HANDLERS
from edge.face import Face
from edge.openapi import problems
from edge.problem_pages import problem_pages
from edge.routing import Router
from runtime.database import UnavailableError, databases_answer
from runtime.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from starlette.routing import Route
    from starlette.types import Lifespan, Receive, Scope, Send

    from edge.errors import Handlers
    from runtime.settings import Settings

NAME: Final = "Tasklog"

ROOT: Final = orjson.dumps({"name": NAME, "version": VERSION, "docs": "/docs", "health": "/health"})
"""What answers `/`."""
_HEALTH: Final = orjson.dumps({"status": "healthy", "version": VERSION})


class Service(Starlette):
    """Starlette for its lifespan; requests are answered by our own callable. `answering` are its routes, in order."""

    def __init__(self, answering: Sequence[Route], face: Face, lifespan: Lifespan[Starlette]) -> None:
        """Take what is ready."""
        super().__init__(lifespan=lifespan)
        self.answering = answering
        self._face = face

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answer a request."""
        return self._face(scope, receive, send)


class _Json(Response):
    """A response of ready JSON, made in a fraction of Starlette's time."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        self.raw_headers += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response of ready JSON."""
    return _Json(body, status, headers or {})


def service(
    settings: Settings, routes: Sequence[Route], lifespan: Lifespan[Starlette], handlers: Handlers | None = None
) -> Service:
    """Return the app of a service: `routes` come first, because every request tries them in order.

    `handlers` turn errors that only this service knows into problems.
    """
    answering = [*routes, *_common.routes, *documentation(), *problem_pages()]
    cors = Cors(origins=settings.cors_origins, localhost=settings.environment == "development")
    return Service(answering, Face(answering, {**HANDLERS, **(handlers or {})}, cors), lifespan)


_common: Final = Router(tags=["service"])


class ServiceInfo(BaseModel):
    """What answers here, and the paths of its documentation and of /health."""

    name: str = Field(examples=[NAME])
    version: str = Field(examples=[VERSION])
    docs: str = Field(examples=["/docs"])
    health: str = Field(examples=["/health"])


class Health(BaseModel):
    """The service answers."""

    status: str = Field(examples=["healthy"])
    version: str = Field(examples=[VERSION])


def _described(model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": description}, **problems()}


_TO_CONSOLE: Final[dict[int | str, dict[str, Any]]] = {
    303: {
        "description": "To the console, for a browser: a client that prefers text/html, while CONSOLE is on",
        "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
    }
}


@_common.get(
    "/",
    summary="Name the service",
    responses={**_described(ServiceInfo, "Name and version"), **_TO_CONSOLE},
)
async def root(_request: Request) -> Response:
    """The name, the version, and the paths of the documentation and of /health. Needs no token."""
    # edge/entrance.py answers in its place while the console is on.
    return json_response(ROOT)


@_common.get(
    "/health",
    summary="Check the service",
    responses=_described(Health, "The service and its database answer"),
)
async def health(_request: Request) -> Response:
    """Whether the service and its database answer. Needs no token."""
    if not await databases_answer():
        raise UnavailableError
    return json_response(_HEALTH)

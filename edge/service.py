"""A service's HTTP interface: its task routes, with what both services have in common around them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fastapi_offline
import orjson
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute, APIRouter
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge.cors import Cors
from edge.errors import HANDLERS
from edge.face import Face
from edge.openapi import document, problems
from edge.problem_pages import problem_pages
from runtime.database import UnavailableError, databases_answer
from runtime.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Lifespan, Receive, Scope, Send

    from edge.errors import Handlers
    from runtime.settings import Settings

NAME: Final = "Tasklog"

_ASSETS: Final = "/docs/assets"
_ASSET_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
ROOT: Final = orjson.dumps({"name": NAME, "version": VERSION, "docs": "/docs", "health": "/health"})
"""What answers `/`."""
_HEALTH: Final = orjson.dumps({"status": "healthy", "version": VERSION})


class ReadyRoute(APIRoute):
    """A route that FastAPI documents and Starlette runs: the endpoint takes the request and returns the response.

    docs/decisions/0007 says what this saves.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the same arguments as FastAPI's route."""
        super().__init__(*args, **kwargs)
        self.operation_id = self.operation_id or self.name


class _Service(FastAPI):
    """FastAPI for its routes and lifespan; requests are answered by our own callable."""

    face: Face

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.face(scope, receive, send)


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
    settings: Settings, routes: Sequence[BaseRoute], lifespan: Lifespan[FastAPI], handlers: Handlers | None = None
) -> FastAPI:
    """Return the app of a service: `routes` come first, because every request tries them in order.

    `handlers` turn errors that only this service knows into problems.
    """
    app = _Service(
        title=NAME,
        version=VERSION,
        description="Tasks in which every change is an event.",
        routes=[*routes, *_common.routes, *_documentation(), *problem_pages()],
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    localhost = settings.environment == "development"
    cors = Cors(origins=settings.cors_origins, localhost=localhost)
    answering = [route for route in app.routes if isinstance(route, Route | ReadyRoute)]
    app.face = Face(answering, {**HANDLERS, **(handlers or {})}, cors)
    return app


_common: Final = APIRouter(route_class=ReadyRoute, tags=["service"])


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
    response_class=Response,
    responses={**_described(ServiceInfo, "Name and version"), **_TO_CONSOLE},
)
async def root(_request: Request) -> Response:
    """The name, the version, and the paths of the documentation and of /health. Needs no token."""
    # edge/entrance.py answers in its place while the console is on.
    return json_response(ROOT)


@_common.get(
    "/health",
    summary="Check the service",
    response_class=Response,
    responses=_described(Health, "The service and its database answer"),
)
async def health(_request: Request) -> Response:
    """Whether the service and its database answer. Needs no token."""
    if not await databases_answer():
        raise UnavailableError
    return json_response(_HEALTH)


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """Return a file of Swagger UI with its media type, read once, so that no request opens a file.

    Raises:
        HTTPException: 404, there is no such file.
    """
    if (media_type := _ASSET_TYPES.get(name)) is None:
        raise HTTPException(404)
    return Path(fastapi_offline.__file__).with_name("static").joinpath(name).read_bytes(), media_type


def _documentation() -> list[Route]:
    """Return the OpenAPI document and Swagger UI, with its assets served from here so that it works offline."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=NAME,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )

    async def asset(request: Request) -> Response:
        body, media_type = _asset(request.path_params["name"])
        return Response(body, media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})

    async def docs(_request: Request) -> Response:
        return page

    async def openapi(_request: Request) -> Response:
        return json_response(document())

    pages = {"/openapi.json": openapi, "/docs": docs, _ASSETS + "/{name}": asset}
    return [Route(path, page, methods=["GET"]) for path, page in pages.items()]

"""The OpenAPI document and Swagger UI, whose files are served from here so that it works offline."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from edge.openapi import document

if TYPE_CHECKING:
    from starlette.requests import Request

_ASSETS: Final = "/docs/assets"
_ASSET_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


def documentation() -> list[Route]:
    """Return the routes of the document, of the page that shows it, and of the page's files."""
    pages = {"/openapi.json": _openapi, "/docs": _docs, _ASSETS + "/{name}": _file}
    return [Route(path, page, methods=["GET"]) for path, page in pages.items()]


async def _openapi(_request: Request) -> Response:
    return Response(document(), media_type="application/json")


async def _docs(_request: Request) -> Response:
    return Response(_page(), media_type="text/html")


async def _file(request: Request) -> Response:
    body, media_type = _asset(request.path_params["name"])
    return Response(body, media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})


@cache
def _page() -> bytes:
    return Path(__file__).with_name("docs.html").read_bytes()


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """Return a file of Swagger UI with its media type, read once, so that no request opens a file.

    Raises:
        HTTPException: 404, there is no such file.
    """
    if (media_type := _ASSET_TYPES.get(name)) is None:
        raise HTTPException(404)
    # The package is found, but not imported: it would import FastAPI.
    package = find_spec("fastapi_offline")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).with_name("static").joinpath(name).read_bytes(), media_type

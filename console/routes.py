"""The console over HTTP: the page and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from console.assets import assets
from edge.compression import takes_gzip

if TYPE_CHECKING:
    from starlette.requests import Request

    from console.assets import Asset
    from runtime.settings import Settings

_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"


def console_routes(settings: Settings) -> list[Route]:
    """Return the routes of the console; none if it is switched off."""
    if not settings.console:
        return []
    files = assets(settings.console_token_url)
    policy = _policy(settings.console_token_url)

    async def page(request: Request) -> Response:
        return _answer(request, files.index, {"Cache-Control": _ASK, "Content-Security-Policy": policy})

    async def file(request: Request) -> Response:
        found = files.files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        # A page from before an upgrade asks for files of its version: it gets the new ones, and does not cache them.
        current = request.path_params["version"] == files.version
        return _answer(request, found, {"Cache-Control": _FOREVER if current else _ASK})

    return [
        Route("/console", page, methods=["GET"]),
        Route("/console/", page, methods=["GET"]),
        Route("/console/{version}/{path:path}", file, methods=["GET"]),
    ]


def _answer(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    headers |= {"ETag": asset.etag, "Vary": "Accept-Encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = asset.body
    if takes_gzip(request.headers.get("accept-encoding", "")):
        body = asset.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=asset.media_type, headers=headers)


def _policy(token_url: str | None) -> str:
    """Return the page's Content-Security-Policy: it loads its own files, and calls its own service."""
    parts = urlsplit(token_url or "")
    others = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    own = f"script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{others}"
    never = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    return f"default-src 'none'; {own}; {never}"

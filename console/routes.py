"""The console over HTTP: the page and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from console.assets import WORKER, assets
from edge.compression import gzip_headers, takes_gzip
from edge.etags import not_modified

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
        return _answer(request, files.index, policy, {"Cache-Control": _ASK})

    async def worker(request: Request) -> Response:
        # Without the header a worker is only for paths that begin with its own folder.
        return _answer(request, files.worker, policy, {"Cache-Control": _ASK, "Service-Worker-Allowed": "/console"})

    async def file(request: Request) -> Response:
        found = files.files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        # A page from before an upgrade asks for files of its version: it gets the new ones, and does not cache them.
        current = request.path_params["version"] == files.version
        return _answer(request, found, policy, {"Cache-Control": _FOREVER if current else _ASK})

    return [
        Route("/console", page, methods=["GET"]),
        Route("/console/", page, methods=["GET"]),
        Route(f"/console/{WORKER}", worker, methods=["GET"]),
        Route("/console/{version}/{path:path}", file, methods=["GET"]),
    ]


def _answer(request: Request, asset: Asset, policy: str, headers: dict[str, str]) -> Response:
    """Return a file or a 304. The policy is on each file, as a worker has the one that its own script came with."""
    headers |= {"ETag": asset.etag, "Vary": "Accept-Encoding", "Content-Security-Policy": policy}
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    body = asset.body
    if takes_gzip(request.headers.get("accept-encoding", "")):
        body, headers = asset.compressed, gzip_headers(headers)
    return Response(body, media_type=asset.media_type, headers=headers)


def _policy(token_url: str | None) -> str:
    """Return the page's Content-Security-Policy: it loads its own files, and calls its own service."""
    parts = urlsplit(token_url or "")
    others = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    own = f"script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{others}"
    never = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    types = "require-trusted-types-for 'script'; trusted-types tasklog"
    return f"default-src 'none'; {own}; {never}; {types}"

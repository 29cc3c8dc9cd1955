"""The pages at `/problems/<kind>`, which the `type` of each problem leads to."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from edge.problem_kinds import PATH, Kind

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_HEADERS: Final = {"Cache-Control": "public, max-age=86400", "Content-Security-Policy": "default-src 'none'"}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body>
<h1>{title}</h1>
{content}
</body>
</html>
"""
_KINDS: Final = {kind.type: kind for kind in Kind}


def problem_pages() -> list[Route]:
    """Return the routes of the pages, and of their list."""
    return [Route(PATH, _list, methods=["GET"]), Route(PATH + "/{name}", _page, methods=["GET"])]


async def _list(_request: Request) -> Response:
    items = [f'<li>{kind.status} <a href="{kind.type}">{escape(kind.title)}</a></li>' for kind in Kind]
    return _answer("Problems", "\n".join(["<ul>", *items, "</ul>"]))


async def _page(request: Request) -> Response:
    kind = _KINDS.get(f"{PATH}/{request.path_params['name']}")
    if kind is None:
        raise HTTPException(404)
    return _answer(
        kind.title,
        f"<p>Status {kind.status}, type <code>{kind.type}</code></p>\n<p>{escape(' '.join(kind.explanation))}</p>\n"
        f'<p><a href="{PATH}">All problems</a></p>',
    )


def _answer(title: str, content: str) -> Response:
    return HTMLResponse(_PAGE.format(title=escape(title), content=content), headers=_HEADERS)

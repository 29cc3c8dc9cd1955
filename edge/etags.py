"""Entity tags: whether a client already has what would be sent (RFC 9110)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from edge.requests import header_value

if TYPE_CHECKING:
    from starlette.requests import Request


def is_known(tag: str, if_none_match: str) -> bool:
    """Return whether the client already has `tag`, compared weakly, as compression weakens tags."""
    if if_none_match == tag:
        return True
    known = [known.strip().removeprefix("W/") for known in if_none_match.split(",")]
    return tag in known or known == ["*"]


def not_modified(request: Request, headers: dict[str, str]) -> Response | None:
    """Return a 304 if the client has the ETag of `headers`, otherwise None."""
    known = header_value(request, b"if-none-match")
    return Response(status_code=304, headers=headers) if known and is_known(headers["ETag"], known) else None

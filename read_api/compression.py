"""Compression of answers that would otherwise take more than one network round trip."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING, Any, Final

from edge.answers import InParts
from edge.compression import gzip_headers, takes_gzip
from edge.service import json_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

LONG_ANSWER: Final[dict[str, Any]] = {
    "Content-Encoding": {
        "description": "`gzip`, if the answer is long and the request accepts it",
        "schema": {"type": "string"},
    }
}
"""The header of a long answer, as the OpenAPI document describes it."""
ONE_TRIP: Final = 14_000
"""Bytes that a server sends before the first acknowledgement: ten segments (RFC 6928)."""


async def json_answer(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """Return the body, compressed (with a weak ETag) if that saves round trips and the client accepts it.

    On loopback, 210 kB take 0.5 ms and become 21 kB. Compressed bodies are not cached: a client that already has an
    unchanged answer gets a 304.
    """
    if len(body) <= ONE_TRIP:
        return json_response(body, headers=headers)
    headers = {**headers, "Vary": "Accept-Encoding"}
    if takes_gzip(request.headers.get("accept-encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, 1, mtime=0)
        headers = gzip_headers(headers)
    return json_response(body, headers=headers)


def json_in_parts(request: Request, parts: AsyncIterator[bytes], headers: dict[str, str]) -> Response:
    """Return a response that sends one part after the other, compressed if the client accepts it."""
    headers = {**headers, "Vary": "Accept-Encoding"}
    if takes_gzip(request.headers.get("accept-encoding", "")):
        parts = _compressed(parts)
        headers = gzip_headers(headers)
    return InParts(parts, media_type="application/json", headers=headers)


async def _compressed(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(1, wbits=31)
    async for part in parts:
        if compressed := await asyncio.to_thread(compressor.compress, part):
            yield compressed
    yield compressor.flush()

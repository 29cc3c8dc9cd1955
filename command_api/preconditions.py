"""Conditions of a write: If-Match (RFC 9110) and Idempotency-Key (the IETF's draft)."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request

from edge.problem_kinds import Kind
from edge.problems import ProblemError
from edge.requests import header_values

_ETAGS: Final = re.compile(r'(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"(?:[ \t]*,[ \t]*|$))+')
_ETAG: Final = re.compile(r'(W/)?"([^"]*)"')
_VERSION: Final = re.compile(r"([1-9][0-9]{0,9})(?:-[0-9a-f]{12})?")
"""A task's ETag, see read_model.body, or only its version, as in release 1.0."""
_KEY: Final = re.compile(r'"?([\x21\x23-\x5b\x5d-\x7e]{1,255})"?')


def if_match(request: Request) -> frozenset[int] | None:
    """Return the versions that the task may have; None allows any.

    Weak ETags, and ETags of other things, never match.

    Raises:
        ProblemError: 422, the header is no list of ETags.
    """
    values = header_values(request, b"if-match")
    if not values:
        return None
    text = b", ".join(values).decode("latin-1").strip()
    if text == "*":
        return None
    if not _ETAGS.fullmatch(text):
        raise ProblemError(Kind.INVALID_REQUEST, 'If-Match: must be * or entity tags, such as "3"')
    tags = [tag for weak, tag in _ETAG.findall(text) if not weak]
    return frozenset(int(match[1]) for match in map(_VERSION.fullmatch, tags) if match)


def idempotency_key(request: Request) -> str | None:
    """Return the request's key, without the quotes that the draft puts around it.

    Raises:
        ProblemError: 422, there are several keys, or it is not 1 to 255 visible ASCII characters.
    """
    values = header_values(request, b"idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not (match := _KEY.fullmatch(values[0].decode("latin-1"))):
        raise ProblemError(
            Kind.INVALID_REQUEST, "Idempotency-Key: must be one key of 1 to 255 visible ASCII characters"
        )
    return match[1]

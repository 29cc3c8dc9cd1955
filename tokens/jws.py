"""Strict parsing of a compact JWS, and the keys that verify one.

PyJWT would allow what is refused here: members named twice, header members that point to a key.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import NoReturn, Protocol

MAX_TOKEN_BYTES = 16 * 1024

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_TYPES = frozenset({"jwt", "at+jwt"})
_MAX_KID = 255
_MAX_BRACKETS = 1000
"""In one JSON text: so deep a text is refused by any Python, not only by those whose stack it fills."""
# `crit` and `b64` change what a token means; the others carry a key that the sender chose, or point to one.
_REFUSED_MEMBERS = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c"})


class Unauthorized(Exception):  # noqa: N818 - named after the answer that it becomes
    """A refused token.

    Attributes:
        detail: a sentence for the client, with nothing of the token in it.
        reason: a word for the log, with nothing of the token in it.
    """

    def __init__(self, reason: str, detail: str = "The token is not valid") -> None:
        """Refuse for a reason."""
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, kw_only=True, slots=True)
class Jws:
    """A well-formed token whose signature nobody has verified yet."""

    algorithm: str
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes


class VerificationKey(Protocol):
    """A key bound to one algorithm."""

    def verifies(self, token: Jws) -> bool:
        """Return whether this key, with its own algorithm, made the token's signature."""


def read_jws(token: bytes) -> Jws:
    """Take a token apart.

    Raises:
        Unauthorized: it is over 16 KiB, not three segments of canonical base64url, or has a header that is not ours.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized("size")
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise Unauthorized("malformed")
    header = read_object(_decode(segments[1]))
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise Unauthorized("header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthorized("type")
    algorithm = one_name(header.get("alg"))
    if not isinstance(algorithm, str):
        raise Unauthorized("algorithm")
    return Jws(
        algorithm=algorithm,
        kid=_kid(header),
        signed=token[: segments.end(2)],
        payload=_decode(segments[2]),
        signature=_decode(segments[3]),
    )


def read_object(text: bytes) -> dict[str, object]:
    """Return a JSON object in which, at every depth, no member is repeated and every number is valid JSON.

    Raises:
        Unauthorized: it is anything else, or has over 1,000 brackets.
    """
    if text.count(b"{") + text.count(b"[") > _MAX_BRACKETS:
        raise Unauthorized("malformed")
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unauthorized("malformed") from None
    if not isinstance(value, dict):
        raise Unauthorized("malformed")
    return value


def one_name(algorithm: object) -> object:
    """Return the older name of an algorithm that has two: RFC 9864 calls EdDSA on Ed25519 by its curve."""
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def _kid(header: dict[str, object]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) > _MAX_KID:
        raise Unauthorized("kid")
    return kid


def _decode(segment: bytes) -> bytes:
    """Decode base64url without padding, in its one canonical spelling."""
    try:
        decoded = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        raise Unauthorized("malformed") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise Unauthorized("malformed")
    return decoded


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

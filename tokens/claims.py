"""What a verified payload must claim, and for which span of time it grants a user id."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tokens.jws import Unauthorized

LEEWAY = 30.0  # seconds that two clocks may differ
LONGEST_LIFE = 365.25 * 86400  # seconds; a year as Better Auth's `jose` counts it
_LAST_SECOND = 1e12  # UNIX time in seconds; no date is later, and arithmetic with huge integers fails

# Better Auth signs its cookie cache of sessions with the same secret; such a token is no access token.
_SESSION_CACHE = "better-auth:session-cache"
# The characters of a user id, without those that cause trouble in a log or a database.
_USER_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,255}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The issuer and audience of a mode; None accepts any, or none."""

    issuer: str | None
    audience: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A user id, and the span of UNIX time in which it holds, leeway included."""

    user_id: str
    valid_from: float
    valid_until: float

    def holds(self, now: float) -> bool:
        """Return whether `now`, in UNIX seconds, is inside the span."""
        return self.valid_from <= now < self.valid_until

    def check(self, now: float) -> None:
        """Refuse a grant outside its span.

        Raises:
            Unauthorized: it has expired, or does not hold yet.
        """
        if now >= self.valid_until:
            raise Unauthorized("expired", "Token has expired")
        if now < self.valid_from:
            raise Unauthorized("early", "The token is not valid yet")


def read_grant(claims: dict[str, object], expected: Expected) -> Grant:
    """Check every claim but the time.

    Raises:
        Unauthorized: a claim is missing, of the wrong type, or for somebody else.
    """
    _check_issuer(claims, expected.issuer)
    _check_audience(claims, expected.audience)
    expires = _seconds(claims, "exp")
    if expires is None:
        raise Unauthorized("exp")
    begins = [_seconds(claims, "nbf"), _seconds(claims, "iat"), expires - LONGEST_LIFE]
    return Grant(
        user_id=_user_id(claims),
        valid_from=max(begin for begin in begins if begin is not None) - LEEWAY,
        valid_until=expires + LEEWAY,
    )


def _user_id(claims: dict[str, object]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _USER_ID.fullmatch(subject) or subject != subject.strip():
        raise Unauthorized("sub")
    return subject


def _check_issuer(claims: dict[str, object], issuer: str | None) -> None:
    if issuer is None and "iss" not in claims:
        return
    claimed = claims.get("iss")
    if not isinstance(claimed, str) or issuer not in (None, claimed):
        raise Unauthorized("iss")


def _check_audience(claims: dict[str, object], audience: str | None) -> None:
    if audience is None and "aud" not in claims:
        return
    claimed = claims.get("aud")
    names = claimed if isinstance(claimed, list) else [claimed]
    if not names or not all(isinstance(name, str) and name for name in names) or _SESSION_CACHE in names:
        raise Unauthorized("aud")
    if audience is not None and audience not in names:
        raise Unauthorized("aud")


def _seconds(claims: dict[str, object], name: str) -> float | None:
    """Return a NumericDate in seconds, None when it is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LAST_SECOND:
        raise Unauthorized(name)
    return value

"""Development tokens, signed with the services' own secret, and links that open the console with such a token.

HS256 is made with the standard library, so that the parent of all processes does not load a library for tokens.
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from runtime.settings import SettingsError
from tasklog.embedded.data_dir import read_secret

if TYPE_CHECKING:
    from runtime.settings import Settings

HOURS = 24
"""How long a token is valid by default, in hours."""

_LONGEST_USER = 255


def make_token(settings: Settings, user: str, hours: float = HOURS) -> str:
    """Return a user's token, signed with the shared secret as the auth server would sign it.

    Raises:
        SettingsError: there is no secret to sign with, or the user's name is not allowed.
    """
    if not user or user != user.strip() or len(user) > _LONGEST_USER or not user.isprintable():
        message = f"A user is 1 to {_LONGEST_USER} printable characters, with no space before or after them."
        raise SettingsError(message)
    now = int(time.time())
    claims = {
        "sub": user,
        "iat": now,
        "exp": now + int(hours * 3600),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    signed = b".".join(map(_part, ({"alg": settings.jwt_algorithm, "typ": "JWT"}, given)))
    return b".".join([signed, _encoded(hmac.digest(_secret(settings), signed, "sha256"))]).decode()


def console_link(settings: Settings, url: str, user: str) -> str:
    """Return the link that opens the console as a user.

    The token follows a `#`: browsers do not send that part, so it gets into no log.

    Raises:
        SettingsError: as `make_token`.
    """
    return f"{url}/console#token={make_token(settings, user)}"


def _part(value: object) -> bytes:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")


def _secret(settings: Settings) -> bytes:
    if settings.better_auth_secret is not None:
        return settings.better_auth_secret.get_secret_value().encode()
    if settings.jwks_url is not None:
        message = "With JWKS_URL, only the auth server signs tokens: set BETTER_AUTH_SECRET as well to sign here."
        raise SettingsError(message)
    secret = read_secret(settings.data_dir) if settings.embedded else None
    if secret is None:
        message = "There is no secret to sign with yet: start ./run once, or set BETTER_AUTH_SECRET."
        raise SettingsError(message)
    return secret.encode()

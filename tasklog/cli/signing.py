"""Development tokens, signed with the secret that the service checks them with."""

from __future__ import annotations

import time
import warnings

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from runtime.settings import Settings, SettingsError
from tasklog.embedded.data_dir import read_secret

_LONGEST_USER = 255


def make_token(settings: Settings, user: str, hours: float) -> str:
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # ./run warns of it, and services refuse it
        return jwt.encode(given, _secret(settings), algorithm=settings.jwt_algorithm)


def _secret(settings: Settings) -> str:
    if settings.better_auth_secret is not None:
        return settings.better_auth_secret.get_secret_value()
    if settings.jwks_url is not None:
        message = "With JWKS_URL, only the auth server signs tokens: set BETTER_AUTH_SECRET as well to sign here."
        raise SettingsError(message)
    secret = read_secret(settings.data_dir) if settings.embedded else None
    if secret is None:
        message = "There is no secret to sign with yet: start ./run once, or set BETTER_AUTH_SECRET."
        raise SettingsError(message)
    return secret

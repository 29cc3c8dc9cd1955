"""Who sends a request: the user id in a verified bearer token.

There are two modes, with separate keys: HS256 with the secret shared with Better Auth (while it is changed, also the
previous one), and the public keys of its JWKS.
The algorithm in the token's header selects the mode; a key only verifies tokens of its own algorithm.
"""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from runtime.settings import SHORTEST_SECRET, Settings, SettingsError
from tokens.claims import Expected, Grant, read_grant
from tokens.jws import Jws, Unauthorized, VerificationKey, read_jws, read_object
from tokens.look_ups import KeysUnavailable, Timing
from tokens.shared_secret import HMAC_ALGORITHM, SecretKey, is_asymmetric

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from tokens.jwks import KeySet

__all__ = ["KeysUnavailable", "Timing", "TokenRules", "TokenVerifier", "Unauthorized", "token_rules", "token_verifier"]

MAX_CACHED = 10_000
# Better Auth's default, and what .env.example shows.
_PUBLISHED = {"better-auth-secret-12345678901234567890", "change-me-to-32-or-more-random-characters"}
# The secret has no name, so a `kid` beside it means nothing; one that looks like a path or a query is refused anyway.
_HARMLESS_KID = re.compile(r"[A-Za-z0-9._~:=+-]+")


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What the settings require of a token; a mode without its keys or URL is off."""

    secrets: tuple[VerificationKey, ...]
    secret_claims: Expected
    jwks_url: str | None
    jwks_claims: Expected


class TokenVerifier:
    """Verifies bearer tokens, and caches the good ones while they are valid."""

    def __init__(
        self,
        rules: TokenRules,
        *,
        keys: KeySet | None,
        grants: dict[bytes, Grant],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Verify by `rules` and `keys`; `grants` is the cache, by the SHA-256 of the token, empty at first."""
        self._rules = rules
        self._keys = keys
        self._grants = grants
        self._clock = clock

    async def user_id(self, authorization: Sequence[bytes]) -> str:
        """Return the `sub` of a good token; see `grant`."""
        return (await self.grant(authorization)).user_id

    async def grant(self, authorization: Sequence[bytes]) -> Grant:
        """Return what a good token grants, given the raw values of all Authorization headers.

        A token that was seen before takes about a microsecond and never waits; nor does a token with a known key.

        Raises:
            Unauthorized: there is no token, more than one, or it is not acceptable.
            KeysUnavailable: the token needs a key of the JWKS that cannot be looked up now: answer 503.
        """
        token = _bearer(authorization)
        digest = sha256(token).digest()
        grant = self._grants.get(digest)
        if grant is None or not grant.holds(self._clock()):
            grant = await self._verify(token)
            self._remember(digest, grant)
        return grant

    async def _verify(self, token: bytes) -> Grant:
        """Verify a token, its claims first, so that a token with bad claims causes no look-up of a key."""
        jws = read_jws(token)
        secrets = self._secrets(jws) if jws.algorithm == HMAC_ALGORITHM else ()
        if not secrets and (self._keys is None or jws.algorithm not in self._keys.algorithms):
            raise Unauthorized("algorithm")
        expected = self._rules.secret_claims if secrets else self._rules.jwks_claims
        grant = read_grant(read_object(jws.payload), expected)
        grant.check(self._clock())
        if not any(key.verifies(jws) for key in secrets or [await self._public_key(jws)]):
            raise Unauthorized("signature")
        return grant

    def _secrets(self, token: Jws) -> tuple[VerificationKey, ...]:
        if not self._rules.secrets:
            raise Unauthorized("algorithm")
        if token.kid is not None and not _HARMLESS_KID.fullmatch(token.kid):
            raise Unauthorized("kid")
        return self._rules.secrets

    async def _public_key(self, token: Jws) -> VerificationKey:
        key = await self._keys.find(token.kid) if self._keys is not None and token.kid else None
        if key is None:
            raise Unauthorized("kid")
        return key

    def _remember(self, digest: bytes, grant: Grant) -> None:
        if len(self._grants) >= MAX_CACHED:
            del self._grants[next(iter(self._grants))]
        self._grants[digest] = grant


def token_verifier(settings: Settings, *, timing: Timing | None = None) -> AbstractAsyncContextManager[TokenVerifier]:
    """Make the verifier of a service, to be open for as long as it serves.

    Raises:
        SettingsError: see `token_rules`.
    """
    return _open(token_rules(settings), timing or Timing())


def token_rules(settings: Settings) -> TokenRules:
    """Return what the settings require of a token.

    Raises:
        SettingsError: no mode is on, a secret is published or easy to guess, or the URL is not valid.
    """
    if settings.better_auth_secret is None and settings.jwks_url is None:
        raise SettingsError("Set BETTER_AUTH_SECRET, JWKS_URL or both: without one no token can be verified.")
    if settings.better_auth_secret is None and settings.better_auth_secret_previous is not None:
        raise SettingsError("BETTER_AUTH_SECRET_PREVIOUS needs a BETTER_AUTH_SECRET that follows it: set that, too.")
    origin = None if settings.jwks_url is None else _origin(settings.jwks_url)
    return TokenRules(
        secrets=_secret_keys(settings),
        secret_claims=Expected(issuer=settings.jwt_issuer, audience=settings.jwt_audience),
        jwks_url=settings.jwks_url,
        jwks_claims=Expected(issuer=settings.jwt_issuer or origin, audience=settings.jwt_audience or origin),
    )


@asynccontextmanager
async def _open(rules: TokenRules, timing: Timing) -> AsyncIterator[TokenVerifier]:
    grants: dict[bytes, Grant] = {}
    async with AsyncExitStack() as stack:
        keys = None
        if rules.jwks_url is not None:
            from tokens.jwks import open_key_set  # noqa: PLC0415 - see tokens/look_ups.py

            opening = open_key_set(rules.jwks_url, timing=timing, on_change=grants.clear)
            keys = await stack.enter_async_context(opening)
        yield TokenVerifier(rules, keys=keys, grants=grants)


def _bearer(authorization: Sequence[bytes]) -> bytes:
    if not authorization:
        raise Unauthorized("missing", "Authentication is required")
    scheme, _, token = authorization[0].partition(b" ")
    if len(authorization) > 1:
        raise Unauthorized("header", "Authentication needs one bearer token")
    if scheme.lower() != b"bearer" or not token:
        raise Unauthorized("scheme", "Authentication needs one bearer token")
    return token


def _secret_keys(settings: Settings) -> tuple[SecretKey, ...]:
    """Return the keys of the secret and of the previous one, as far as they are set."""
    secrets = {
        "BETTER_AUTH_SECRET": settings.better_auth_secret,
        "BETTER_AUTH_SECRET_PREVIOUS": settings.better_auth_secret_previous,
    }
    is_private = settings.embedded and settings.environment == "development"
    return tuple(
        _secret_key(name, secret.get_secret_value(), is_private=is_private)
        for name, secret in secrets.items()
        if secret
    )


def _secret_key(name: str, secret: str, *, is_private: bool) -> SecretKey:
    """Return the key of a secret; `is_private` is True for development on one machine, where any secret will do."""
    if not is_private:
        if secret in _PUBLISHED:
            raise SettingsError(f"{name} is a published example or default: choose your own.")
        if len(secret.encode()) < SHORTEST_SECRET:
            raise SettingsError(f"{name} is shorter than {SHORTEST_SECRET} bytes: choose a longer one.")
    if is_asymmetric(secret):
        raise SettingsError(f"{name} is a public key or certificate: it must be a secret.")
    return SecretKey(secret.encode())


def _origin(url: str) -> str:
    """Return scheme, host and port as a browser writes an origin: in lower case, without a default port."""
    import httpx  # noqa: PLC0415 - see tokens/look_ups.py

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise SettingsError("JWKS_URL is not a valid address: check its host.") from None
    return f"{parsed.scheme}://{parsed.netloc.decode()}"

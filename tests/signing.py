"""Tokens of every kind, and verifiers for them. The time is always `NOW`."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from pydantic import SecretStr

from runtime.settings import Settings
from tokens.jwks import KeySet
from tokens.look_ups import Timing
from tokens.verifier import TokenVerifier, Unauthorized, token_rules

if TYPE_CHECKING:
    from collections.abc import Coroutine

NOW = 1_800_000_000
SECRET = "a secret of more than thirty-two bytes"
ORIGIN = "https://auth.example"
JWKS_URL = f"{ORIGIN}/api/auth/jwks"
USER = "Zq3xW8"
ABSENT = object()
ALGORITHMS = get_default_algorithms()
PRIVATE_KEYS: dict[str, Any] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS256": rsa.generate_private_key(65537, 2048),
}


def base64url(data: bytes) -> bytes:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


def public_jwk(kid: str, private_key: Any, algorithm: str) -> dict[str, Any]:
    """Return the public half of a key as an auth server publishes it."""
    jwk = ALGORITHMS[algorithm].to_jwk(private_key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "alg": algorithm}


def key_set_body(*jwks: dict[str, Any]) -> bytes:
    """Return a JWK set; without arguments, of all the tests' own keys, each named after its algorithm."""
    return json.dumps({"keys": jwks or [public_jwk(name, key, name) for name, key in PRIVATE_KEYS.items()]}).encode()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A token before it is signed; header and claims are members, or bytes to use instead."""

    header: dict[str, Any] | bytes
    claims: dict[str, Any] | bytes
    signer: str
    key: Any

    def header_with(self, **members: object) -> Draft:
        """Return the draft with other header members; `ABSENT` removes one."""
        return replace(self, header=_changed(self.header, members))

    def claims_with(self, **members: object) -> Draft:
        """Return the draft with other claims; `ABSENT` removes one."""
        return replace(self, claims=_changed(self.claims, members))

    def signed(self) -> bytes:
        """Return the signed token, whatever its content."""
        algorithm = ALGORITHMS[self.signer]
        text = base64url(_json(self.header)) + b"." + base64url(_json(self.claims))
        return text + b"." + base64url(algorithm.sign(text, algorithm.prepare_key(self.key)))


def good(algorithm: str = "HS256", now: int = NOW) -> Draft:
    """Return the draft of a token as Better Auth issues it, for a key of the tests."""
    claims = {"sub": USER, "iat": now - 10, "exp": now + 890, "iss": ORIGIN, "aud": ORIGIN}
    if algorithm == "HS256":
        return Draft(header={"alg": "HS256"}, claims=claims, signer="HS256", key=SECRET)
    header = {"alg": algorithm, "kid": algorithm}
    return Draft(header=header, claims=claims, signer=algorithm, key=PRIVATE_KEYS[algorithm])


def settings(**values: Any) -> Settings:
    """Return settings with a given database, so that every rule about secrets applies; no `.env` is read."""
    values.setdefault("database_url", SecretStr("postgresql://db.example/tasklog"))
    return Settings(_env_file=None, **values)


def verifier(*modes: str, clock: Any = lambda: float(NOW), **values: Any) -> TokenVerifier:
    """Return a verifier in the modes "secret" and "jwks"; its JWKS is answered in this process."""
    if "secret" in modes:
        values["better_auth_secret"] = SecretStr(SECRET)
    rules = token_rules(settings(**values, jwks_url=JWKS_URL if "jwks" in modes else None))
    grants: dict[bytes, Any] = {}
    keys = None
    if "jwks" in modes:
        http = httpx.AsyncClient(transport=httpx.MockTransport(_answer))
        keys = KeySet(JWKS_URL, http, timing=Timing(cooldown=0, pause=0), on_change=grants.clear)
    return TokenVerifier(rules, keys=keys, grants=grants, clock=clock)


def verdict(judge: TokenVerifier, *authorization: bytes) -> str:
    """Return the user of a request with these Authorization headers, or "401 " and the reason."""
    try:
        return asyncio.run(judge.user_id(authorization))
    except Unauthorized as refusal:
        return f"401 {refusal.reason}"


def at_once(work: Coroutine[Any, Any, str]) -> str:
    """Run a coroutine that must not wait for anything; fail if it waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return str(done.value)
    finally:
        work.close()
    raise AssertionError("it waited")


def bearer(draft: Draft | bytes) -> bytes:
    """Return the Authorization header of a token."""
    return b"Bearer " + (draft.signed() if isinstance(draft, Draft) else draft)


def _answer(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(key_set_body()))


def _changed(members: dict[str, Any] | bytes, changes: dict[str, object]) -> dict[str, Any]:
    assert isinstance(members, dict)
    return {name: value for name, value in (members | changes).items() if value is not ABSENT}


def _json(value: dict[str, Any] | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()

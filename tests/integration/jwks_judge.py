"""A verifier of tokens on the keys of a JWKS endpoint, and tokens of a key that it knows or does not know yet."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.jwks_endpoint import PATIENCE, JwksEndpoint
from tests.signing import ORIGIN, PRIVATE_KEYS, bearer, good, public_jwk, settings
from tokens.look_ups import Timing
from tokens.verifier import KeysUnavailable, TokenVerifier, Unauthorized, token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUICK = Timing(timeout=PATIENCE, cooldown=0, pause=0, refresh=1000)
NEW_KEY = Ed25519PrivateKey.generate()
OLD, NEW = public_jwk("EdDSA", PRIVATE_KEYS["EdDSA"], "EdDSA"), public_jwk("new", NEW_KEY, "EdDSA")


def header(kid: str = "EdDSA", **claims: Any) -> bytes:
    """Return the header of a token that is valid now, signed with the old or the new key."""
    draft = good("EdDSA", int(time.time())).claims_with(**claims)
    key = NEW_KEY if kid.startswith(("new", "rotated")) else draft.key
    return bearer(type(draft)(header={"alg": "EdDSA", "kid": kid}, claims=draft.claims, signer="EdDSA", key=key))


async def verdict(judge: TokenVerifier, authorization: bytes) -> str:
    """Return the user, or the refusal."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await judge.user_id([authorization])
    except (Unauthorized, KeysUnavailable) as refusal:
        return type(refusal).__name__


@asynccontextmanager
async def judge_of(endpoint: JwksEndpoint, timing: Timing = QUICK) -> AsyncIterator[TokenVerifier]:
    """Open a verifier on the endpoint's keys."""
    chosen = settings(jwks_url=endpoint.url, jwt_issuer=ORIGIN, jwt_audience=ORIGIN)
    async with token_verifier(chosen, timing=timing) as judge:
        yield judge

"""Tokens of a real Better Auth server, verified through its own JWKS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from pydantic import SecretStr

from tests.integration.better_auth import PATIENCE, BetterAuth, running_better_auth
from tests.signing import SECRET, at_once, settings
from tokens.look_ups import Timing
from tokens.verifier import TokenVerifier, Unauthorized, token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.timeout(400)  # its packages may have to be downloaded


@pytest.fixture(scope="module")
def auth() -> Iterator[BetterAuth]:
    """Run one server for the module; every test signs up another person."""
    with running_better_auth() as server:
        yield server


@pytest.fixture
async def judge(auth: BetterAuth) -> AsyncIterator[TokenVerifier]:
    """Open a verifier in both modes; an hour's cooldown allows one refetch per test, however long the test takes."""
    both = settings(jwks_url=auth.jwks_url, better_auth_secret=SecretStr(SECRET))
    async with token_verifier(both, timing=Timing(timeout=PATIENCE, cooldown=3600)) as opened:
        yield opened


def bearer(token: str) -> list[bytes]:
    """Give the Authorization headers of a request."""
    return [b"Bearer " + token.encode()]


async def test_an_access_token_is_eddsa_and_gives_the_user(auth: BetterAuth, judge: TokenVerifier) -> None:
    person = auth.sign_up("ann@example.com")
    token = auth.token(person)
    assert jwt.get_unverified_header(token)["alg"] == "EdDSA"
    assert await judge.user_id(bearer(token)) == person.user_id


async def test_tokens_of_before_and_after_a_key_rotation_are_both_accepted(
    auth: BetterAuth, judge: TokenVerifier
) -> None:
    """The verifier only knows the old key when the new token comes: it refetches once, and not again."""
    person = auth.sign_up("bob@example.com")
    before = auth.token(person)
    assert await judge.user_id(bearer(before)) == person.user_id
    auth.rotate()
    after = auth.token(person)
    assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
    assert await judge.user_id(bearer(after)) == person.user_id
    assert at_once(judge.user_id(bearer(before))) == person.user_id


async def test_the_opaque_session_token_is_refused(auth: BetterAuth, judge: TokenVerifier) -> None:
    person = auth.sign_up("cid@example.com")
    for token in (person.session_token, person.cookies["better-auth.session_token"]):
        with pytest.raises(Unauthorized):
            await judge.user_id(bearer(token))


async def test_the_session_cookies_cache_is_refused_though_our_secret_signed_it(
    auth: BetterAuth, judge: TokenVerifier
) -> None:
    cache = auth.sign_up("dan@example.com").cookies["better-auth.session_data"]
    jwt.decode(cache, SECRET, algorithms=["HS256"])
    with pytest.raises(Unauthorized) as caught:
        await judge.user_id(bearer(cache))
    assert caught.value.reason == "sub"

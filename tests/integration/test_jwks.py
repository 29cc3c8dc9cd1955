"""The JWKS client against a real endpoint that misbehaves: users with a known key never wait and never fail.

Each test was seen to fail without its check in `tokens/jwks.py`: the single fetch, the cooldown, the time-out of the
whole fetch, the refusal of redirects, of other statuses and of sets without a usable key.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.jwks_endpoint import (
    PATIENCE,
    JwksEndpoint,
    drips,
    floods,
    hangs,
    jwks_endpoint,
    says,
    sends,
)
from tests.signing import ORIGIN, PRIVATE_KEYS, USER, at_once, bearer, good, key_set_body, public_jwk, settings
from tokens.jwks import MAX_BODY_BYTES, Timing
from tokens.verifier import KeysUnavailable, TokenVerifier, Unauthorized, token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.jwks_endpoint import Behaviour

QUICK = Timing(timeout=PATIENCE, cooldown=0, pause=0, refresh=1000)
ONCE = Timing(timeout=PATIENCE, cooldown=1000, pause=1000, burst=2)
FRESH = Timing(timeout=PATIENCE, refresh=0.01)
NEW_KEY = Ed25519PrivateKey.generate()
OLD, NEW = public_jwk("EdDSA", PRIVATE_KEYS["EdDSA"], "EdDSA"), public_jwk("new", NEW_KEY, "EdDSA")
OCT = {"kty": "oct", "kid": "EdDSA", "k": "c2VjcmV0", "alg": "HS256"}


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


@contextmanager
def impatient(judge: TokenVerifier) -> Iterator[None]:
    """Give fetches only a moment, as some would never end."""
    assert judge._keys is not None
    timing = judge._keys._timing
    judge._keys._timing = replace(timing, timeout=2)
    yield
    judge._keys._timing = timing


MISBEHAVIOURS: dict[str, Behaviour] = {
    "hanging": hangs,
    "slow": drips,
    "huge": floods,
    "huge with keys": says(json.dumps({"keys": [NEW], "pad": "x" * MAX_BODY_BYTES}).encode()),
    "closing at once": sends(b""),
    "not HTTP": sends(b"\x16\x03\x01\x00\xff\r\n\r\n" * 9),
    "cut short": sends(b'HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"keys": ['),
    "rate limited": says(key_set_body(NEW), "429 Too Many Requests", "retry-after: 60"),
    "failing": says(key_set_body(NEW), "500 Internal Server Error"),
    "no content": says(b"", "204 No Content"),
    "a page": says(b"<html>sign in</html>"),
    "not a set": says(b'[{"keys": []}]'),
    "null": says(b"null"),
    "nothing": says(b""),
    "deep": says(b"[" * 200_000),
    "not UTF-8": says(b'{"keys": "\xff"}'),
    "compressed": says(gzip.compress(key_set_body(NEW)), "200 OK", "content-encoding: gzip"),
}


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS)
async def test_users_of_a_known_key_neither_wait_nor_fail_while_the_endpoint_misbehaves(behaviour: Behaviour) -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = behaviour
        with impatient(judge):
            stranger = asyncio.create_task(verdict(judge, header("new")))
            await endpoint.fetched(2)
            assert at_once(judge.user_id([header(sub="met during the fetch")])) == "met during the fetch"
            assert await stranger == "KeysUnavailable"
        assert at_once(judge.user_id([header(sub="met after it")])) == "met after it"
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        assert await verdict(judge, header("new")) == USER


@pytest.mark.parametrize(
    "body",
    [b'{"keys": []}', key_set_body(OCT, {**OCT, "kid": "new"}), b'{"keys": [1, null, {}]}'],
    ids=["empty", "symmetric keys", "no keys at all"],
)
async def test_a_set_without_a_usable_key_is_an_answer_and_takes_no_known_key_away(body: bytes) -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = says(body)
        assert await verdict(judge, header("new")) == "Unauthorized"
        assert at_once(judge.user_id([header(sub="met after it")])) == "met after it"
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        assert await verdict(judge, header("new")) == USER
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        endpoint.behaviour = says(body)
        assert await verdict(judge, header()) == "Unauthorized"


async def test_a_set_of_many_keys_is_used_whole() -> None:
    """Better Auth keeps the keys of every rotation, so a set only grows."""
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = says(key_set_body(*[{**OLD, "kid": f"old{n}"} for n in range(2000)], NEW))
        assert await verdict(judge, header("new")) == USER


async def test_users_of_a_known_key_neither_wait_nor_fail_while_the_endpoint_is_down() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        await endpoint.stop()
        assert await verdict(judge, header("new")) == "KeysUnavailable"
        assert at_once(judge.user_id([header(sub="somebody")])) == "somebody"


async def test_a_redirect_is_not_followed() -> None:
    async with jwks_endpoint() as endpoint, jwks_endpoint() as other, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        other.behaviour = says(key_set_body(NEW))
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            endpoint.behaviour = says(b"", status, f"location: {other.url}")
            assert await verdict(judge, header("new")) == "KeysUnavailable"
        assert other.fetches == 0


async def test_a_rotated_key_is_found_by_one_fetch_however_many_ask() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        asked = [verdict(judge, header("new", sub=f"user{n}")) for n in range(50)]
        assert await asyncio.gather(*asked) == [f"user{n}" for n in range(50)]
        assert at_once(judge.user_id([header()])) == USER
        assert endpoint.fetches == 2


async def test_a_failure_after_a_rotation_is_not_known_and_heals_with_the_endpoint() -> None:
    """A 401 would log out everybody with a token of the new key."""
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        for status in ("500 Oops", "429 Too Many Requests"):
            endpoint.behaviour = says(key_set_body(OLD, NEW), status)
            assert await verdict(judge, header("new")) == "KeysUnavailable"
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        assert await verdict(judge, header("new")) == USER


@pytest.mark.parametrize(
    ("behaviour", "first"),
    [
        (says(key_set_body(OLD)), "Unauthorized"),
        (says(b"", "500 Oops"), "KeysUnavailable"),
        (sends(b""), "KeysUnavailable"),
    ],
    ids=["good", "500", "cut"],
)
async def test_unknown_keys_cause_one_fetch_a_cooldown_failures_included(behaviour: Behaviour, first: str) -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = behaviour
        assert await verdict(judge, header("unknown")) == first
        for n in range(100):
            with pytest.raises(KeysUnavailable) as caught:
                at_once(judge.user_id([header(f"unknown{n}")]))
            assert 990 < caught.value.retry_after <= 1000
        assert endpoint.fetches == 2
        assert at_once(judge.user_id([header(sub="somebody")])) == "somebody"


async def test_unknown_keys_of_strangers_neither_refuse_nor_long_delay_a_new_key() -> None:
    """Strangers ask without a pause; after each rotation, the first token with the new key waits for one look-up."""
    timing = Timing(timeout=PATIENCE, cooldown=0.2, burst=1)
    async with jwks_endpoint() as endpoint, judge_of(endpoint, timing) as judge:
        assert await verdict(judge, header()) == USER

        async def strangers(name: str) -> None:
            n = 0
            while True:
                await verdict(judge, header(f"{name}-{n}"))
                n += 1

        asking = [asyncio.create_task(strangers(f"stranger{n}")) for n in range(20)]
        for n in range(5):
            fetches = endpoint.fetches
            await endpoint.fetched(fetches + 1)
            kid = f"rotated{n}"
            endpoint.behaviour = says(key_set_body(OLD, {**NEW, "kid": kid}))
            assert await verdict(judge, header(kid)) == USER
            assert endpoint.fetches <= fetches + 3
        for task in asking:
            task.cancel()


async def test_a_token_that_no_key_could_make_good_asks_for_none() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        assert await verdict(judge, header()) == USER
        for claims in ({"exp": 1}, {"iss": "https://other.example"}, {"aud": "other"}, {"sub": ""}):
            with pytest.raises(Unauthorized):
                at_once(judge.user_id([header("unknown", **claims)]))
        assert endpoint.fetches == 1


async def test_a_fetch_that_began_before_the_token_came_is_no_look_up_for_it() -> None:
    """The running fetch may bring the keys from before the rotation."""
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        go_on = asyncio.Event()

        async def behaviour(writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            await says(key_set_body(OLD))(writer)

        endpoint.behaviour = behaviour
        stranger = asyncio.create_task(verdict(judge, header("unknown")))
        await endpoint.fetched(2)
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        rotated = asyncio.create_task(verdict(judge, header("new")))
        go_on.set()
        assert (await stranger, await rotated) == ("Unauthorized", USER)


async def test_a_withdrawn_key_is_forgotten_with_the_tokens_that_it_signed() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        seen = header()
        assert await verdict(judge, seen) == USER
        endpoint.behaviour = says(key_set_body(NEW))
        assert await verdict(judge, header("new")) == USER
        assert await verdict(judge, seen) == "Unauthorized"


async def test_the_keys_are_kept_fresh_without_any_request() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, FRESH) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = hangs
        await endpoint.fetched(endpoint.fetches + 1)
        assert at_once(judge.user_id([header(sub="met during a refresh")])) == "met during a refresh"
    async with jwks_endpoint() as endpoint, judge_of(endpoint, FRESH) as judge:
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        await endpoint.fetched(endpoint.fetches + 2)
        assert at_once(judge.user_id([header("new")])) == USER


async def test_a_service_starts_without_the_endpoint_and_heals_by_itself() -> None:
    """Without a key nobody can say whether a token is good, so the answer is no 401, which would log people out."""
    async with jwks_endpoint() as endpoint:
        await endpoint.stop()
        async with judge_of(endpoint, Timing(timeout=0.3, pause=0.02)) as judge:
            assert await verdict(judge, header()) == "KeysUnavailable"
            await endpoint.start()
            await endpoint.fetched(1)
            async with asyncio.timeout(PATIENCE):
                while await verdict(judge, header()) != USER:
                    assert endpoint.fetches < 100


async def test_a_service_starts_and_stops_while_the_endpoint_hangs() -> None:
    async with jwks_endpoint() as endpoint:
        endpoint.behaviour = hangs
        started = time.monotonic()
        async with judge_of(endpoint, Timing(timeout=60)):
            await endpoint.fetched(1)
        assert time.monotonic() - started < PATIENCE


async def test_the_first_requests_share_the_first_fetch() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        asked = [verdict(judge, header(sub=f"user{n}")) for n in range(20)]
        assert await asyncio.gather(*asked) == [f"user{n}" for n in range(20)]
        assert endpoint.fetches == 1


async def test_a_request_that_is_given_up_does_not_end_the_fetch_for_the_others() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        assert await verdict(judge, header()) == USER
        go_on = asyncio.Event()

        async def behaviour(writer: asyncio.StreamWriter) -> None:
            await go_on.wait()
            await says(key_set_body(OLD, NEW))(writer)

        endpoint.behaviour = behaviour
        gone = asyncio.create_task(verdict(judge, header("new")))
        waiting = asyncio.create_task(verdict(judge, header("new", sub="patient")))
        await endpoint.fetched(2)
        gone.cancel()
        go_on.set()
        assert await waiting == "patient"

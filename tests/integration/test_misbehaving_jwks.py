"""A JWKS endpoint that misbehaves: users with a known key never wait and never fail.

Each test was seen to fail without its check in `tokens/jwks.py`: the time-out of the whole fetch, the refusal of
redirects, of other statuses and of sets without a usable key.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.jwks_endpoint import PATIENCE, drips, floods, hangs, jwks_endpoint, says, sends
from tests.integration.jwks_judge import NEW, OLD, header, judge_of, verdict
from tests.signing import USER, at_once, key_set_body
from tokens.jwks import MAX_BODY_BYTES
from tokens.look_ups import Timing
from tokens.verifier import TokenVerifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.jwks_endpoint import Behaviour

OCT = {"kty": "oct", "kid": "EdDSA", "k": "c2VjcmV0", "alg": "HS256"}


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


async def test_a_failure_after_a_rotation_is_not_known_and_heals_with_the_endpoint() -> None:
    """A 401 would log out everybody with a token of the new key."""
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        for status in ("500 Oops", "429 Too Many Requests"):
            endpoint.behaviour = says(key_set_body(OLD, NEW), status)
            assert await verdict(judge, header("new")) == "KeysUnavailable"
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        assert await verdict(judge, header("new")) == USER


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

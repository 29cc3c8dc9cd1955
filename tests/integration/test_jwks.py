"""When the JWKS client fetches keys, and which keys it knows afterwards.

Each test was seen to fail without its check in `tokens/jwks.py`: the single fetch, the cooldown, the refresh.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.integration.jwks_endpoint import PATIENCE, hangs, jwks_endpoint, says, sends
from tests.integration.jwks_judge import NEW, OLD, header, judge_of, verdict
from tests.signing import USER, at_once, key_set_body
from tokens.look_ups import Timing
from tokens.verifier import KeysUnavailable, Unauthorized

if TYPE_CHECKING:
    from tests.integration.jwks_endpoint import Behaviour

ONCE = Timing(timeout=PATIENCE, cooldown=1000, pause=1000, burst=2)
FRESH = Timing(timeout=PATIENCE, refresh=0.01)


async def test_a_rotated_key_is_found_by_one_fetch_however_many_ask() -> None:
    async with jwks_endpoint() as endpoint, judge_of(endpoint, ONCE) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = says(key_set_body(OLD, NEW))
        asked = [verdict(judge, header("new", sub=f"user{n}")) for n in range(50)]
        assert await asyncio.gather(*asked) == [f"user{n}" for n in range(50)]
        assert at_once(judge.user_id([header()])) == USER
        assert endpoint.fetches == 2


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


async def test_a_set_of_many_keys_is_used_whole() -> None:
    """Better Auth keeps the keys of every rotation, so a set only grows."""
    async with jwks_endpoint() as endpoint, judge_of(endpoint) as judge:
        assert await verdict(judge, header()) == USER
        endpoint.behaviour = says(key_set_body(*[{**OLD, "kid": f"old{n}"} for n in range(2000)], NEW))
        assert await verdict(judge, header("new")) == USER

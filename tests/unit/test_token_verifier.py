"""What `tokens.verifier` promises besides its verdicts: one header, bounded time, a correct cache, safe settings."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pydantic import SecretStr

from runtime.settings import SettingsError
from tests.signing import (
    ABSENT,
    JWKS_URL,
    NOW,
    ORIGIN,
    SECRET,
    USER,
    at_once,
    base64url,
    bearer,
    good,
    settings,
    verdict,
    verifier,
)
from tokens import verifier as verifying
from tokens.jws import MAX_TOKEN_BYTES
from tokens.verifier import TokenVerifier, Unauthorized, token_rules, token_verifier

BOTH = verifier("secret", "jwks", jwt_issuer=ORIGIN, jwt_audience=ORIGIN)
MODES = pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
PUBLIC_DEFAULT = "better-auth-secret-12345678901234567890"
CHOSEN = {"better_auth_secret": SecretStr(SECRET)}


class Clock:
    """A clock that a test sets."""

    now = float(NOW)

    def __call__(self) -> float:
        """Give UNIX seconds."""
        return self.now


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
def test_the_scheme_is_read_in_any_case(scheme: bytes) -> None:
    assert verdict(BOTH, scheme + b" " + good().signed()) == USER


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [good().signed()],
        [b"Basic " + good().signed()],
        [b"Bearer  " + good().signed()],
        [b"Bearer\t" + good().signed()],
        [b" Bearer " + good().signed()],
        [b"Bearer a b"],
        [bearer(good()) + b" b"],
        [bearer(good()) + b", " + bearer(good())],
        [bearer(good()), bearer(good())],
        [bearer(good()), b""],
        [b"Bearer \xff\xfe"],
    ],
    ids=lambda headers: ascii([header[:12] for header in headers]),
)
def test_anything_but_one_header_with_one_bearer_token_is_refused(headers: list[bytes]) -> None:
    assert verdict(BOTH, bearer(good())) == USER
    assert verdict(BOTH, *headers).startswith("401")


@MODES
def test_an_expired_token_says_so_and_no_refusal_repeats_the_token(algorithm: str) -> None:
    def refusal(header: bytes) -> Unauthorized:
        with pytest.raises(Unauthorized) as caught:
            at_once(judge.user_id([header]))
        return caught.value

    judge = verifier("secret", "jwks")
    assert verdict(judge, bearer(good(algorithm))) == USER
    assert refusal(bearer(good(algorithm).claims_with(exp=NOW - 30))).detail == "Token has expired"
    marked = good(algorithm).claims_with(exp="SECRETMARK").header_with(typ="SECRETMARK")
    for header in (bearer(marked), b"Bearer SECRETMARK", b"SECRETMARK x"):
        error = refusal(header)
        assert "SECRETMARK" not in f"{error} {error.args} {error.detail} {error.reason} {error.__cause__}"


def test_a_token_over_16_kib_is_refused_before_it_is_parsed() -> None:
    largest = good().claims_with(pad="")
    room = MAX_TOKEN_BYTES - len(largest.signed())
    assert verdict(BOTH, bearer(largest.claims_with(pad="x" * (room * 3 // 4 - 3)))) == USER
    assert verdict(BOTH, bearer(largest.claims_with(pad="x" * room))) == "401 size"
    assert verdict(BOTH, bearer(b"not a token" * 2000)) == "401 size"


HOSTILE = [
    b'{"alg":"HS256","a":' + b"[" * 11000,
    b'{"a":' * 2200,
    b"[" + b"9" * 4200 + b"," + b"9" * 4200 + b"," + b"9" * 3000 + b"]",
    b'{"alg":"HS256","a":[' + b"{}," * 3700 + b"{}]}",
    b'{"alg":"HS256",' + b",".join(b'"%d":1' % n for n in range(1100)) + b"}",
    b'{"alg":"HS256","kid":"' + b"\\u0000" * 1900 + b'"}',
    b'{"alg":"' + b"A" * 11000 + b'"}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_no_token_takes_long(text: bytes) -> None:
    """Seconds of this thread count, and the best of five: a busy machine does not matter.

    Each takes about 1 ms, and several times as long under coverage.
    """
    header = b"Bearer " + base64url(text) + b".e30.AA"
    assert len(header) < MAX_TOKEN_BYTES
    took = []
    for _ in range(5):
        start = time.thread_time()
        assert verdict(BOTH, header).startswith("401")
        took.append(time.thread_time() - start)
    assert min(took) < 0.05


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)
HEADER_NAMES = st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64", "zip", "cty"])
CLAIM_NAMES = st.sampled_from(["sub", "exp", "iat", "nbf", "iss", "aud", "jti"])


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"Bearer " + tail), max_size=3))
def test_garbage_gives_a_user_or_a_401_and_nothing_else(headers: list[bytes]) -> None:
    assert verdict(BOTH, *headers).startswith("401")


@MODES
@effort(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(HEADER_NAMES, JSON, max_size=3), st.dictionaries(CLAIM_NAMES, JSON, max_size=3))
def test_any_well_signed_header_and_claims_give_a_user_or_a_401(
    algorithm: str, header: dict[str, object], claims: dict[str, object]
) -> None:
    draft = good(algorithm).header_with(**header).claims_with(**claims)
    answer = verdict(BOTH, bearer(draft))
    assert answer == claims.get("sub", USER) or answer.startswith("401")


@MODES
def test_a_token_seen_before_is_not_verified_again_and_waits_for_nothing(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, header = verifier("secret", "jwks"), bearer(good(algorithm))
    assert verdict(judge, header) == USER
    monkeypatch.setattr(verifying, "read_jws", None)
    assert at_once(judge.user_id([header])) == USER


@MODES
@pytest.mark.parametrize("claims", [{"exp": NOW + 60}, {"exp": NOW + 60.25}, {"exp": NOW + 60, "iat": NOW + 20}])
def test_a_cached_token_holds_exactly_as_long_as_a_fresh_one(algorithm: str, claims: dict[str, float]) -> None:
    clock = Clock()
    judge, header = verifier("secret", "jwks", clock=clock), bearer(good(algorithm).claims_with(**claims))
    assert verdict(judge, header) == USER
    moments = [NOW - 86400, NOW - 11, NOW - 9, NOW, NOW + 60, NOW + 89.9, NOW + 90, NOW + 90.2, NOW + 90.3, NOW + 10**6]
    for clock.now in moments:
        fresh = verifier("secret", "jwks", clock=clock)
        assert verdict(judge, header) == verdict(fresh, header), clock.now - NOW


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_CACHED", 3)
    grants: dict[bytes, Any] = {}
    rules = token_rules(settings(better_auth_secret=SecretStr(SECRET)))
    judge = TokenVerifier(rules, keys=None, grants=grants, clock=Clock())
    users = [verdict(judge, bearer(good().claims_with(sub=f"user-{n}"))) for n in range(9)]
    assert users == [f"user-{n}" for n in range(9)]
    assert [grant.user_id for grant in grants.values()] == users[-3:]


def test_a_refused_token_is_not_remembered() -> None:
    clock = Clock()
    judge, header = verifier("secret", clock=clock), bearer(good().claims_with(nbf=NOW + 60))
    assert verdict(judge, header) == "401 early"
    clock.now += 60
    assert verdict(judge, header) == USER


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, "BETTER_AUTH_SECRET"),
        ({"better_auth_secret": SecretStr("x" * 31)}, "shorter"),
        ({"better_auth_secret": SecretStr("é" * 15)}, "shorter"),
        ({"better_auth_secret": SecretStr(PUBLIC_DEFAULT)}, "default"),
        ({"better_auth_secret": SecretStr(PUBLIC_DEFAULT), "jwks_url": JWKS_URL}, "default"),
        ({"better_auth_secret": SecretStr("x" * 31), "database_url": None, "environment": "production"}, "shorter"),
        (
            {"better_auth_secret": SecretStr("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")},
            "public key",
        ),
        ({"jwks_url": "http://☃.example/"}, "JWKS_URL"),
        ({"better_auth_secret_previous": SecretStr("x" * 32), "jwks_url": JWKS_URL}, "PREVIOUS needs"),
        ({**CHOSEN, "better_auth_secret_previous": SecretStr("x" * 31)}, "PREVIOUS is shorter"),
        ({**CHOSEN, "better_auth_secret_previous": SecretStr(PUBLIC_DEFAULT)}, "PREVIOUS is a published"),
    ],
    ids=str,
)
def test_settings_that_would_let_others_in_or_nobody_are_refused_at_start(values: dict[str, Any], names: str) -> None:
    with pytest.raises(SettingsError, match=names) as caught:
        token_verifier(settings(**values))
    assert "xxxx" not in str(caught.value)


def test_the_embedded_development_mode_takes_a_short_secret() -> None:
    assert token_rules(settings(database_url=None, better_auth_secret=SecretStr("short"))).secrets


def test_while_the_secret_changes_tokens_of_the_previous_one_are_good_too() -> None:
    previous, third = "p" * 32, "t" * 32
    changing = verifier("secret", "jwks", better_auth_secret_previous=SecretStr(previous), jwt_issuer=ORIGIN)
    drafts = [replace(good(), key=key) for key in (SECRET, previous, third)]
    assert [verdict(changing, bearer(draft)) for draft in drafts] == [USER, USER, "401 signature"]
    assert [verdict(verifier("secret"), bearer(draft)) for draft in drafts] == [USER, *["401 signature"] * 2]
    assert verdict(changing, bearer(drafts[1].claims_with(exp=NOW - 60))) == "401 expired"
    assert verdict(changing, bearer(drafts[1].claims_with(iss="https://elsewhere.example"))) == "401 iss"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (JWKS_URL, ORIGIN),
        ("http://LOCALHOST:3000/api/auth/jwks", "http://localhost:3000"),
        ("https://user:word@a.example:443/jwks", "https://a.example"),
        ("http://[::1]:80/jwks", "http://[::1]"),
    ],
)
def test_issuer_and_audience_default_to_the_origin_of_the_jwks(url: str, origin: str) -> None:
    claims = token_rules(settings(jwks_url=url)).jwks_claims
    assert (claims.issuer, claims.audience) == (origin, origin)
    chosen = token_rules(settings(jwks_url=url, jwt_issuer="i", jwt_audience="a"))
    assert (chosen.jwks_claims, chosen.secret_claims.issuer) == (chosen.secret_claims, "i")


def test_the_secret_mode_asks_for_no_issuer_unless_told_to() -> None:
    draft = good().claims_with(iss="https://elsewhere.example", aud=["anything"])
    assert verdict(verifier("secret"), bearer(draft)) == USER
    assert verdict(verifier("secret"), bearer(good().claims_with(iss=ABSENT, aud=ABSENT))) == USER
    assert verdict(verifier("secret", jwt_issuer=ORIGIN), bearer(draft)) == "401 iss"
    assert verdict(verifier("secret", jwt_audience=ORIGIN), bearer(draft)) == "401 aud"

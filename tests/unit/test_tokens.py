"""The verdicts of `edge.tokens` on tokens of every make.

Each was seen to fail: every check of `edge/jws.py`, `edge/claims.py` and `edge/tokens.py` was taken out once.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.signing import (
    ABSENT,
    NOW,
    ORIGIN,
    PRIVATE_KEYS,
    USER,
    Draft,
    base64url,
    bearer,
    good,
    verdict,
    verifier,
)

BOTH = verifier("secret", "jwks", jwt_issuer=ORIGIN, jwt_audience=ORIGIN)
SECRET_ONLY = verifier("secret")
JWKS_ONLY = verifier("jwks")
MODES = pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
REASONS = {"alg": "algorithm", "typ": "type", "kid": "kid"}


def each(name: str, *values: object) -> list[dict[str, object]]:
    """Give one change of the member for each value."""
    return [{name: value} for value in values]


def ids(changes: dict[str, object]) -> str:
    """Name a case by what it changes, in at most forty characters."""
    return " ".join(f"{name}={'absent' if value is ABSENT else ascii(value)}" for name, value in changes.items())[:40]


GOOD_HEADERS: list[dict[str, object]] = [
    {"typ": ABSENT},
    {"typ": "JWT"},
    {"typ": "at+jwt"},
    {"x5t": "unknown members do no harm"},
]
GOOD_CLAIMS: list[dict[str, object]] = [
    {"aud": ["https://other.example", ORIGIN]},
    {"exp": NOW - 29, "iat": NOW - 900},
    {"iat": NOW + 29},
    {"nbf": NOW + 29},
    {"exp": NOW + 60.5},
    {"exp": NOW + 365 * 86400},
    {"iat": ABSENT},
    {"name": "Ann", "image": "x" * 9000, "nested": {"a": [1, None]}},
    {"sub": "a"},
    {"sub": "é" * 255},
    {"sub": "auth0|5f7c"},
]
BAD_HEADERS = [
    *each(
        "alg",
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "hs256",
        "HS384",
        "HS512",
        "ES384",
        "ES256K",
        "EdDSA ",
        "dir",
        "RSA-OAEP",
    ),
    *each("alg", ABSENT, None, 1, ["HS256"], {"a": 1}),
    *each("typ", "logout+jwt", "better-auth.session-cache+jwt", "JWE", "secevent+jwt", "", None, 1, ["JWT"]),
    *each("kid", 7, None, ["EdDSA"], {}, "../../etc/passwd", "/dev/null", "' OR '1'='1", "a\0b", "k" * 5000),
    *each("jku", "https://evil.example/keys"),
    *each("x5u", "https://evil.example/keys"),
    *each("jwk", {"kty": "oct", "k": "AA"}, None),
    *each("x5c", ["AA"], [], None),
    *each("crit", [], ["exp"], ["b64"], None),
    *each("b64", False),
]
BAD_CLAIMS = [
    *each("exp", ABSENT, None, True, "", str(NOW + 60), [NOW + 60], {}, 0, -1, NOW - 31, 10**50, -(10**50), 1e308),
    *each("exp", NOW + 367 * 86400),
    *each("nbf", None, True, str(NOW), [NOW], NOW + 31, NOW + 10**9, 10**50),
    *each("iat", None, True, str(NOW), [NOW], NOW + 31, NOW + 10**9, 10**50),
    *each(
        "sub",
        ABSENT,
        None,
        7,
        ["a"],
        {},
        "",
        " ",
        " a",
        "a ",
        "\u00a0a",
        "a\n",
        "a\nb",
        "a\0",
        "\ud800",
        "x" * 256,
        "a\x85b",
    ),
    *each("iss", ABSENT, None, 1, "", [ORIGIN], "https://other.example", f"{ORIGIN}/"),
    *each("aud", ABSENT, None, 1, {}, "", [], "https://other.example", f"{ORIGIN}/", f"{ORIGIN}.evil", ORIGIN[:-1]),
    *each("aud", [ORIGIN, 1], [[ORIGIN]], [ORIGIN, ""], [ORIGIN, "better-auth:session-cache"]),
]
BAD_TEXT = [
    b'{"sub": "a", "sub": "b"}',
    b'{"sub": "a", "\\u0073ub": "b"}',
    b'{"exp": NaN}',
    b'{"exp": Infinity}',
    b'{"exp": -Infinity}',
    b'{"exp": ' + b"9" * 6000 + b"}",
    b'{"a":' * 1800 + b"1" + b"}" * 1800,
    b'{"a":' + b"[" * 8000,
    b'{"sub": "\xff"}',
    b'\xef\xbb\xbf{"sub": "a"}',
    b'{"sub": "a"} {}',
    b"[]",
    b"null",
    b'"text"',
    b"1",
    b"{",
    b"\0",
]


@pytest.mark.parametrize("algorithm", ["HS256", *PRIVATE_KEYS])
def test_a_good_token_gives_its_user(algorithm: str) -> None:
    assert verdict(BOTH, bearer(good(algorithm))) == USER


@MODES
@pytest.mark.parametrize("changes", GOOD_HEADERS, ids=ids)
def test_a_header_that_says_no_more_than_it_must_is_accepted(algorithm: str, changes: dict[str, object]) -> None:
    assert verdict(BOTH, bearer(good(algorithm).header_with(**changes))) == USER


@MODES
@pytest.mark.parametrize("changes", GOOD_CLAIMS, ids=ids)
def test_claims_within_leeway_and_unknown_ones_are_accepted(algorithm: str, changes: dict[str, object]) -> None:
    draft = good(algorithm).claims_with(**changes)
    assert verdict(BOTH, bearer(draft)) == changes.get("sub", USER)


@MODES
@pytest.mark.parametrize("changes", BAD_HEADERS, ids=ids)
def test_a_header_of_another_kind_is_refused(algorithm: str, changes: dict[str, object]) -> None:
    reason = REASONS.get(next(iter(changes)), "header")
    assert verdict(BOTH, bearer(good(algorithm).header_with(**changes))) == f"401 {reason}"


@MODES
@pytest.mark.parametrize("changes", BAD_CLAIMS, ids=ids)
def test_claims_that_do_not_fit_are_refused_for_their_own_sake(algorithm: str, changes: dict[str, object]) -> None:
    reason = verdict(BOTH, bearer(good(algorithm).claims_with(**changes)))
    assert reason in {f"401 {next(iter(changes))}", "401 expired", "401 early"}


@MODES
@pytest.mark.parametrize("text", BAD_TEXT, ids=lambda text: ascii(text[:24]))
def test_text_that_is_not_one_plain_object_is_refused_in_header_and_payload(algorithm: str, text: bytes) -> None:
    for draft in (replace(good(algorithm), header=text), replace(good(algorithm), claims=text)):
        assert verdict(BOTH, bearer(draft)) == "401 malformed"


@MODES
@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1e12", b"9" * 4000, b"0" + b"." + b"9" * 4000])
def test_a_number_that_is_no_date_is_refused(algorithm: str, number: bytes) -> None:
    draft = good(algorithm)
    claims = json.dumps(draft.claims).encode().replace(str(NOW + 890).encode(), number)
    assert verdict(BOTH, bearer(replace(draft, claims=claims))) in {"401 exp", "401 early", "401 expired"}


@MODES
def test_a_member_named_twice_is_refused_even_when_all_else_is_good(algorithm: str) -> None:
    draft = good(algorithm)
    header, claims = (json.dumps(part).encode() for part in (draft.header, draft.claims))
    again = b', "alg": "%s"}' % algorithm.encode(), b', "\\u0073ub": "%s"}' % USER.encode()
    for doubled in (replace(draft, header=header[:-1] + again[0]), replace(draft, claims=claims[:-1] + again[1])):
        assert verdict(BOTH, bearer(doubled)) == "401 malformed"


@MODES
def test_no_byte_of_a_token_can_be_changed_dropped_or_added(algorithm: str) -> None:
    token = good(algorithm).signed()
    padded = urlsafe_b64encode(good(algorithm).signed().rpartition(b".")[0])
    header, payload, signature = token.split(b".")
    variants = [token[:i] + bytes([byte ^ 1]) + token[i + 1 :] for i, byte in enumerate(token)]
    variants += [
        token[:-1],
        token[:-4],
        token[1:],
        token + b"=",
        token + b"A",
        token + b"\n",
        b" " + token,
        token + b" ",
    ]
    variants += [b".".join([header, payload + b"=", signature]), b".".join([header, payload[:-1], signature]), padded]
    variants += [b".".join([header, payload, b""]), b".".join([header, payload]), token + b".", token + b".e30.e30"]
    assert [variant for variant in variants if verdict(BOTH, bearer(variant)) == USER] == []


@MODES
def test_the_last_character_of_a_segment_has_one_spelling(algorithm: str) -> None:
    """base64 ignores the spare bits of the last character, so `A` and `B` can decode alike: only one is right."""
    token = good(algorithm).signed()
    spellings = [
        token[:-1] + bytes([char]) for char in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    ]
    assert [spelling for spelling in spellings if verdict(BOTH, bearer(spelling)) == USER] == [token]


@pytest.mark.parametrize(
    "token",
    [
        b"Zm9vYmFyYmF6cXV4.k7JkXl1x0v1y3m1Qm1bq9m0a8Zc0y2b4t6w8x0z2A4c=",  # an opaque session token
        b"null",
        b"undefined",
        b"",
        b".",
        b"..",
        b"a.b.c",
        b".".join([base64url(b'{"alg":"dir","enc":"A256GCM"}'), b"", b"aXY", b"Y3Q", b"dGFn"]),  # a JWE
        json.dumps({"payload": "e30", "protected": "e30", "signature": "AA"}).encode(),
    ],
)
def test_what_is_no_compact_jws_is_refused(token: bytes) -> None:
    assert verdict(BOTH, bearer(token)) in {"401 malformed", "401 header"}


def test_the_session_cookies_cache_is_no_access_token() -> None:
    cookie = {"session": {"token": "x"}, "user": {"id": USER}, "iat": NOW, "exp": NOW + 300}
    assert verdict(SECRET_ONLY, bearer(replace(good(), claims=cookie))) == "401 sub"
    marked = good().claims_with(aud="better-auth:session-cache", iss="better-auth:session-cache")
    assert verdict(SECRET_ONLY, bearer(marked)) == "401 aud"


CONFUSIONS = [
    replace(good("RS256"), header={"alg": "PS256", "kid": "RS256"}, signer="PS256"),
    replace(good("PS256"), header={"alg": "RS256", "kid": "PS256"}, signer="RS256"),
    *(good("EdDSA").header_with(kid=kid) for kid in ("ES256", "RS256", "unknown", "", ABSENT)),
    good("ES256").header_with(kid="EdDSA"),
    good("RS256").header_with(alg="PS256"),
    good("PS256").header_with(alg="RS256"),
    good("EdDSA").header_with(alg="HS256"),
    good("HS256").header_with(alg="EdDSA", kid="EdDSA"),
    replace(good("EdDSA"), key=Ed25519PrivateKey.generate()),
]


@pytest.mark.parametrize("draft", CONFUSIONS, ids=lambda draft: ids(draft.header))
def test_a_key_verifies_only_its_own_algorithm_under_its_own_name(draft: Draft) -> None:
    assert verdict(BOTH, bearer(draft)) in {"401 kid", "401 signature"}


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, None], ids=["PEM", "raw"])
def test_a_public_key_is_no_hmac_secret(form: PublicFormat | None) -> None:
    public = PRIVATE_KEYS["EdDSA"].public_key()
    secret = public.public_bytes_raw() if form is None else public.public_bytes(Encoding.PEM, form)
    for judge in (BOTH, JWKS_ONLY):
        text = good().header_with(kid="EdDSA").signed().rpartition(b".")[0]
        forged = text + b"." + base64url(hmac.digest(secret, text, "sha256"))
        assert verdict(judge, bearer(forged)) in {"401 signature", "401 algorithm"}


def test_a_mode_that_is_off_accepts_nothing() -> None:
    assert verdict(JWKS_ONLY, bearer(good())) == "401 algorithm"
    assert [verdict(SECRET_ONLY, bearer(good(algorithm))) for algorithm in PRIVATE_KEYS] == ["401 algorithm"] * 5

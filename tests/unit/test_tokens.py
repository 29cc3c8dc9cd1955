"""The verdicts of `tokens.verifier` on tokens of every kind.

Each was seen to fail: every check of `tokens/jws.py`, `tokens/claims.py` and `tokens/verifier.py` was removed once.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.signing import NOW, ORIGIN, PRIVATE_KEYS, USER, Draft, base64url, bearer, good, verdict, verifier
from tests.token_table import BAD_CLAIMS, BAD_HEADERS, BAD_TEXT, CONFUSIONS, GOOD_CLAIMS, GOOD_HEADERS, ids

BOTH = verifier("secret", "jwks", jwt_issuer=ORIGIN, jwt_audience=ORIGIN)
SECRET_ONLY = verifier("secret")
JWKS_ONLY = verifier("jwks")
MODES = pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
REASONS = {"alg": "algorithm", "typ": "type", "kid": "kid"}


@pytest.mark.parametrize("algorithm", ["HS256", *PRIVATE_KEYS])
def test_a_good_token_gives_its_user(algorithm: str) -> None:
    assert verdict(BOTH, bearer(good(algorithm))) == USER


def test_ed25519_is_another_name_of_eddsa_for_keys_of_that_curve_alone() -> None:
    """RFC 9864 names the curve in `alg`; a server may use one name in its keys and the other in its tokens."""
    assert verdict(BOTH, bearer(good("EdDSA").header_with(alg="Ed25519"))) == USER
    for kid in ("ES256", "RS256"):
        assert verdict(BOTH, bearer(good("EdDSA").header_with(alg="Ed25519", kid=kid))) == "401 signature"
    assert verdict(SECRET_ONLY, bearer(good("EdDSA").header_with(alg="Ed25519"))) == "401 algorithm"


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
    assert verdict(BOTH, bearer(token)) in {"401 malformed", "401 header", "401 scheme"}


def test_the_session_cookies_cache_is_no_access_token() -> None:
    cookie = {"session": {"token": "x"}, "user": {"id": USER}, "iat": NOW, "exp": NOW + 300}
    assert verdict(SECRET_ONLY, bearer(replace(good(), claims=cookie))) == "401 sub"
    marked = good().claims_with(aud="better-auth:session-cache", iss="better-auth:session-cache")
    assert verdict(SECRET_ONLY, bearer(marked)) == "401 aud"


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

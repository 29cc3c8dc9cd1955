"""Which keys of a JWK set are used, and for which algorithm."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.signing import ABSENT, ALGORITHMS, PRIVATE_KEYS, key_set_body, public_jwk
from tokens.jwks import KeySet, read_key_set
from tokens.look_ups import Timing

GOOD = public_jwk("good", PRIVATE_KEYS["EdDSA"], "EdDSA")
SMALL_RSA = rsa.generate_private_key(65537, 1024)


def entry(name: str, **changes: object) -> dict[str, Any]:
    """Give the public key of an algorithm with other members; `ABSENT` removes one."""
    jwk = public_jwk("tried", PRIVATE_KEYS[name], name) | changes
    return {member: value for member, value in jwk.items() if value is not ABSENT}


UNUSABLE = [
    {"kty": "oct", "kid": "tried", "k": "c2VjcmV0", "alg": "HS256"},
    {"kty": "oct", "kid": "tried", "k": "c2VjcmV0", "alg": "EdDSA"},
    {**ALGORITHMS["EdDSA"].to_jwk(PRIVATE_KEYS["EdDSA"], as_dict=True), "kid": "tried"},
    {**ALGORITHMS["RS256"].to_jwk(SMALL_RSA.public_key(), as_dict=True), "kid": "tried"},
    {**ALGORITHMS["ES384"].to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True), "kid": "tried"},
    {**ALGORITHMS["EdDSA"].to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True), "kid": "tried"},
    entry("EdDSA", crv="X25519", x=GOOD["x"]),
    *(entry("EdDSA", alg=alg) for alg in ("ES256", "HS256", "none", "RS256", "", None, ["EdDSA"], 1)),
    *(entry("ES256", alg=alg) for alg in ("ES512", "EdDSA", "ES384")),
    *(entry("RS256", alg=alg) for alg in ("RS384", "PS512", "HS256", "RSA-OAEP")),
    *(entry("EdDSA", use=use) for use in ("enc", "", None, 1)),
    *(entry("EdDSA", key_ops=operations) for operations in ([], ["sign"], None, "verify")),
    *(entry("EdDSA", kid=kid) for kid in (ABSENT, None, 1, ["tried"])),
    *(entry("EdDSA", kty=kty) for kty in (ABSENT, None, "EC", ["OKP"], {})),
    *(entry("EdDSA", x=x) for x in (ABSENT, None, 1, "", "AAAA", "é", "=" * 43)),
    *(entry("ES256", y=y) for y in (ABSENT, "", "AAAA", GOOD["x"])),
    entry("ES512", crv="P-256"),
    *(entry("RS256", **{member: value}) for member in ("n", "e") for value in (ABSENT, None, 1, "", "AA", "AQ")),
]


def same_in_each_run(jwk: dict[str, Any]) -> str:
    """Return a test's name without the long members, which are random."""
    return ascii(sorted((item for item in jwk.items() if len(str(item[1])) < 20), key=str))


@pytest.mark.parametrize("jwk", UNUSABLE, ids=same_in_each_run)
def test_a_key_that_is_no_public_signature_key_of_ours_is_left_out_and_spoils_no_other(jwk: dict[str, Any]) -> None:
    assert set(read_key_set(key_set_body(jwk, GOOD))) == {"good"}
    assert read_key_set(key_set_body(jwk)) == {}


@pytest.mark.parametrize("name", PRIVATE_KEYS)
def test_a_key_is_bound_to_the_algorithm_that_it_names(name: str) -> None:
    assert read_key_set(key_set_body(entry(name, use="sig", key_ops=["verify"])))["tried"].algorithm == name


def test_a_key_named_by_the_algorithm_of_rfc_9864_is_the_same_key() -> None:
    keys = read_key_set(key_set_body(entry("EdDSA", alg="Ed25519"), GOOD))
    assert [keys["tried"]] == list(read_key_set(key_set_body(entry("EdDSA"))).values())


@pytest.mark.parametrize("name", ["ES256", "RS256"])
def test_a_key_of_another_type_is_not_used_for_ed25519(name: str) -> None:
    assert read_key_set(key_set_body(entry(name, alg="Ed25519"))) == {}


@pytest.mark.parametrize(("name", "bound"), [("EdDSA", "EdDSA"), ("ES512", "ES512"), ("PS256", "RS256")])
def test_a_key_that_names_no_algorithm_is_bound_to_one_of_its_type(name: str, bound: str) -> None:
    assert read_key_set(key_set_body(entry(name, alg=ABSENT)))["tried"].algorithm == bound


def test_the_first_of_two_keys_with_one_name_counts() -> None:
    keys = read_key_set(key_set_body(entry("ES256"), entry("EdDSA")))
    assert [key.algorithm for key in keys.values()] == ["ES256"]


def test_the_same_set_read_twice_is_equal_so_that_no_refresh_empties_the_cache() -> None:
    assert read_key_set(key_set_body()) == read_key_set(key_set_body())
    assert read_key_set(key_set_body()) != read_key_set(key_set_body(GOOD))


def test_the_keys_count_as_changed_when_they_are_others_and_not_at_every_fetch() -> None:
    answers = [key_set_body(GOOD), key_set_body(GOOD), key_set_body(GOOD, entry("ES256"))]
    changes: list[int] = []

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(answers.pop(0)))

    async def search_thrice() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            timing = Timing(cooldown=0)
            keys = KeySet("http://auth.example", http, timing=timing, on_change=lambda: changes.append(len(answers)))
            for _ in range(3):
                await keys.find("unknown")

    asyncio.run(search_thrice())
    assert changes == [2, 0]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_other_document_is_no_key_set(document: object) -> None:
    for body in (document, {"keys": document}):
        if not isinstance(document, list) or body is document:
            with pytest.raises(ValueError, match="JWK"):
                read_key_set(json.dumps(body).encode())
    for entries in ([document], [{**GOOD, "x": document}]):
        assert read_key_set(json.dumps({"keys": entries}).encode()) == {}

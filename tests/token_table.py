"""What may be in a token and what may not: one case per line, with times around `NOW`."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.signing import ABSENT, NOW, ORIGIN, good


def each(name: str, *values: object) -> list[dict[str, object]]:
    """Return one change of the member for each value."""
    return [{name: value} for value in values]


def ids(changes: dict[str, object]) -> str:
    """Return a case's name: what it changes, in at most forty characters."""
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
        "Ed448",
        "ed25519",
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

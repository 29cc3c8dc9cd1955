"""The secret shared with Better Auth, as a key of HS256.

The standard library verifies it: PyJWT imports `cryptography`, also for HS256, and that takes 8 MB.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokens.jws import Jws

HMAC_ALGORITHM = "HS256"

# No PEM, DER, SSH or JSON Web Key: those have a space, a control character, a brace, or begin so.
_NO_KEY = re.compile(r"(?!ssh-|ecdsa-)[!-z|~]+")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret as a key of HS256."""

    secret: bytes = field(repr=False)

    def verifies(self, token: Jws) -> bool:
        """Return whether this secret made the token's signature, with HS256."""
        return token.algorithm == HMAC_ALGORITHM and hmac.compare_digest(
            hmac.digest(self.secret, token.signed, "sha256"), token.signature
        )


def is_asymmetric(secret: str) -> bool:
    """Return whether a secret is a key of another kind, or a certificate: whoever has the public part could sign."""
    if _NO_KEY.fullmatch(secret):
        return False
    from jwt.algorithms import get_default_algorithms
    from jwt.exceptions import InvalidKeyError

    try:
        get_default_algorithms()[HMAC_ALGORITHM].prepare_key(secret)
    except InvalidKeyError:
        return True
    return False

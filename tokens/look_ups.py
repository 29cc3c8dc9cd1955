"""What the look-up of a public key may take, and its failure.

Apart from `jwks.py`, whose libraries take 20 MB that a service without JWKS_URL does not need.
"""

from __future__ import annotations

from dataclasses import dataclass


class KeysUnavailable(Exception):  # noqa: N818 - a state of the service, to be answered with 503
    """The key of a token is not known and cannot be looked up now, so the token is neither accepted nor refused.

    Attributes:
        retry_after: whole seconds until a look-up may succeed.
    """

    def __init__(self, retry_after: int = 1) -> None:
        """Name the seconds to wait."""
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often the endpoint is asked. All but `burst` are in seconds.

    Attributes:
        timeout: of a whole fetch.
        cooldown: between look-ups of unknown keys, on average.
        burst: the number of look-ups that may follow each other without a cooldown, after a rest.
        pause: after a fetch that failed.
        refresh: between the regular fetches that keep the set up to date.
    """

    timeout: float = 3.0
    cooldown: float = 1.0
    burst: int = 10
    pause: float = 2.0
    refresh: float = 600.0

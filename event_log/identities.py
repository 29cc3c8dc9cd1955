"""What is random about events: their ids, and the nonces that keep erased text from being guessed by its digest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

_BYTES: Final = 26
"""Random bytes for each event: 16 for its nonce, 10 for its id."""


def identities(number: int) -> Iterator[tuple[str, str]]:
    """Yield for each of `number` events a nonce of 32 hexadecimal digits, and a UUID of version 7 (RFC 9562)."""
    # All random bytes are read at once, because each read is a system call.
    random, now = os.urandom(_BYTES * number).hex(), f"{time.time_ns() // 1_000_000:012x}"
    begin = f"{now[:8]}-{now[8:]}-7"
    for start in range(0, len(random), 2 * _BYTES):
        drawn = random[start : start + 2 * _BYTES]
        variant = "89ab"[int(drawn[-1], 16) & 3]
        yield drawn[:32], f"{begin}{drawn[32:35]}-{variant}{drawn[35:38]}-{drawn[38:50]}"

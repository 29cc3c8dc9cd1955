"""Libraries are imported without what they only import for features that no service uses.

structlog would import rich and Pygments, to show errors in colors; redis would import cryptography, by PyJWT, for the
tokens of cloud providers. docs/decisions/0007 says how much memory that saves.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def import_lean() -> None:
    """Import structlog and redis, once a process, before anything else imports them."""
    with _without("rich"):
        import structlog
    with _without("cryptography"):
        import redis.asyncio
    assert structlog
    assert redis
    # Whoever imports PyJWT later gets it whole.
    for name in [name for name in sys.modules if name.partition(".")[0] == "jwt"]:
        del sys.modules[name]


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let imports of a package fail in the block, as if it was not installed, unless it is imported already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]

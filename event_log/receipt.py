"""Receipts: where a write left its user's stream."""

from __future__ import annotations

from typing import Final, NamedTuple

_PREFIX: Final = 12
"""The hexadecimal digits of a hash that identify one history, together with a position."""


class Receipt(NamedTuple):
    """A user's position after a write, and the hash at this position, in hexadecimal digits."""

    position: int
    hash: str

    def token(self) -> str:
        """Return the text that stands for this place in the user's changes; after a restore, no other place has it."""
        return f"{self.position}-{self.hash[:_PREFIX]}"

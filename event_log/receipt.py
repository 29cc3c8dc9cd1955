"""Receipts: where a write left its user's stream."""

from __future__ import annotations

from typing import NamedTuple


class Receipt(NamedTuple):
    """A user's position after a write, and the hash at this position, in hexadecimal digits."""

    position: int
    hash: str

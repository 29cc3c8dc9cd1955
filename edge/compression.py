"""Whether a client takes compressed answers."""

from __future__ import annotations


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether the client accepts gzip: it names it, with a weight above 0 (RFC 9110)."""
    for offer in accept_encoding.lower().split(","):
        coding, _, weight = "".join(offer.split()).partition(";q=")
        if coding == "gzip":
            return not weight or weight.strip("0.") != ""
    return False

"""Compressed answers: whether a client takes them, and their headers."""

from __future__ import annotations


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether the client accepts gzip: it names it, with a weight above 0 (RFC 9110)."""
    for offer in accept_encoding.lower().split(","):
        coding, _, weight = "".join(offer.split()).partition(";q=")
        if coding == "gzip":
            return not weight or weight.strip("0.") != ""
    return False


def gzip_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of an answer for its compressed form: its ETag is weak, as the bytes are others."""
    weak = {"ETag": f"W/{headers['ETag']}"} if "ETag" in headers else {}
    return headers | {"Content-Encoding": "gzip"} | weak

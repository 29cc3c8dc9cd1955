"""Which of two kinds of answer a client prefers, by its header Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

_RANGES: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARTS: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
"""The pieces of a text between commas, and between semicolons; those inside quotes do not separate."""
_WEIGHT: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def prefers_html(accept: str) -> bool:
    """Return whether a client would rather have HTML than JSON, as browsers do that open a page.

    Most programs send no Accept, or `*/*`: they have no preference.
    """
    weights = _weights(accept)
    return _weight(weights, "text/html") > _weight(weights, "application/json")


def _weights(accept: str) -> dict[str, float]:
    """Return the weight of each media range; one with a malformed weight counts as not named."""
    weights: dict[str, float] = {}
    for text in _RANGES.findall(accept.lower()):
        kind, *parameters = [part.strip() for part in _PARTS.findall(text)] or [""]
        given = next((parameter for parameter in parameters if parameter.startswith("q=")), "q=1")
        if (weight := _WEIGHT.fullmatch(given)) is not None:
            weights[kind] = float(weight[1])
    return weights


def _weight(weights: dict[str, float], kind: str) -> float:
    """Return the weight of a media type: that of the most specific range with it, 0 without one."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0.0)

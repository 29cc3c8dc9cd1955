"""Bars: what a figure is asked to be, and whether it is."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """What was measured, the figure as it is shown, what was asked for, and whether it was met."""

    what: str
    measured: str
    wanted: str = ""
    verdict: str = ""


def at_most(what: str, figure: float, bound: float, shown: str) -> Row:
    """Return the row of a figure that is to be `bound` at most."""
    return Row(what, shown, f"≤ {bound:g}", _verdict(met=figure <= bound))


def at_least(what: str, figure: float, bound: float, shown: str) -> Row:
    """Return the row of a figure that is to be `bound` at least."""
    return Row(what, shown, f"≥ {bound:g}", _verdict(met=figure >= bound))


def _verdict(*, met: bool) -> str:
    return "met" if met else "missed"

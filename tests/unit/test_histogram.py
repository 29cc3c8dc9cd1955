"""Histograms as Prometheus reads them.

Seen to fail: with `bisect_right`, which puts a bound itself into the next bucket.
"""

from __future__ import annotations

from runtime.histogram import Histogram


def test_a_value_counts_up_to_its_bound_and_the_bound_itself_belongs_to_it() -> None:
    histogram = Histogram((1, 5, 10))
    for value in (0, 1, 1.5, 5, 10, 10.5, 1000):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1, 2]
    assert histogram.sum == 1028


def test_histograms_with_the_same_bounds_add_up() -> None:
    one, other = Histogram((1, 5)), Histogram((1, 5))
    one.observe(1)
    other.observe(3)
    other.observe(9)
    one.add(other)
    assert (one.counts, one.sum) == ([1, 1, 1], 13)
    assert (other.counts, other.sum) == ([0, 1, 1], 12)

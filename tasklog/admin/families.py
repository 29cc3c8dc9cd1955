"""Prometheus's families of samples, made from our counts when they are asked for."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from runtime.histogram import Histogram

Source: TypeAlias = "Callable[[], Awaitable[Iterable[Metric]]]"
"""Reads some of a process's figures, on its event loop."""

Labels: TypeAlias = "tuple[str, ...]"


def gauge(name: str, help_: str, value: float | None) -> Metric:
    """Return a gauge; it has no sample while its value is not known."""
    return GaugeMetricFamily(name, help_, value=value)


def gauges(name: str, help_: str, labels: Sequence[str], values: Mapping[Labels, float]) -> Metric:
    """Return a gauge with labels."""
    family = GaugeMetricFamily(name, help_, labels=labels)
    for these, value in values.items():
        family.add_metric(these, value)
    return family


def counter(name: str, help_: str, value: float) -> Metric:
    """Return a counter; its name ends in `_total`."""
    return CounterMetricFamily(name, help_, value=value)


def counters(name: str, help_: str, labels: Sequence[str], values: Mapping[Labels, float]) -> Metric:
    """Return a counter with labels; its name ends in `_total`."""
    family = CounterMetricFamily(name, help_, labels=labels)
    for these, value in values.items():
        family.add_metric(these, value)
    return family


def histograms(name: str, help_: str, labels: Sequence[str], values: Mapping[Labels, Histogram]) -> Metric:
    """Return a histogram with labels."""
    family = HistogramMetricFamily(name, help_, labels=labels)
    for these, histogram in values.items():
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        family.add_metric(these, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
    return family


def histogram(name: str, help_: str, value: Histogram) -> Metric:
    """Return a histogram."""
    return histograms(name, help_, (), {(): value})


class _Collected:
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(families: Sequence[Metric]) -> bytes:
    """Return the families in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(families))
    return generate_latest(registry)

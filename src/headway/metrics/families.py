"""Samples put into the shapes that Prometheus knows: counters, gauges, histograms."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from headway.metrics.histogram import Histogram

Labels = tuple[str, ...]


def counter(name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, int]]) -> Metric:
    family = CounterMetricFamily(name, help, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family


def gauge(name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for names, value in values:
        family.add_metric(names, value)
    return family


def histogram_family(
    name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    for names, counted in values:
        family.add_metric(names, counted.cumulative(), counted.sum)
    return family

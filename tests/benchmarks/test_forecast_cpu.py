"""A forecast's errors, from a histogram of actual / forecast."""

from math import inf

import pytest
from forecast_cpu import errors, fold, quantile

from headway.metrics.histogram import Histogram, ratio_bounds


def scraped(*ratios: float) -> dict[str, float]:
    histogram = Histogram(ratio_bounds)
    for ratio in ratios:
        histogram.observe(ratio)
    found = {f'headway:forecast_ratio_bucket{{le="{bound}"}}': n for bound, n in histogram.cumulative()}
    return {**found, "headway:forecast_ratio_count": float(histogram.count)}


def test_errors_are_those_of_the_steps_between_two_scrapes() -> None:
    early, late = (5.0, 0.2, 1.4), (0.96, 1.04, 1.06, 0.88)
    found = errors(scraped(*early), scraped(*early, *late))
    assert found["steps"] == 4
    assert (found["within"]["0.05"], found["within"]["0.07"], found["within"]["0.2"]) == (0.5, 0.75, 1.0)
    assert found["median"] == pytest.approx(0.05)
    assert 0.1 < found["p95"] <= 0.15


def test_what_is_beyond_the_last_bound_has_no_quantile() -> None:
    found = errors(scraped(), scraped(*[1.01] * 60, *[4.0] * 40))
    assert found["median"] == pytest.approx(0.025)
    assert found["p95"] is None


def test_bounds_without_a_partner_are_left_out() -> None:
    assert fold([(0.9, 1.0), (1.0, 2.0), (1.1, 3.0), (3.0, 4.0), (inf, 4.0)]) == [(0.1, 0.5)]


def test_a_quantile_lies_straight_between_its_bounds() -> None:
    assert quantile([(0.1, 0.4), (0.2, 0.8)], 0.5) == pytest.approx(0.125)
    assert quantile([(0.1, 0.5), (0.2, 0.8)], 0.25) == pytest.approx(0.05)

"""When requests come: the rate, the variation and the swing of each pattern, and the words that say one."""

from itertools import pairwise
from math import pi
from random import Random
from statistics import mean, stdev

import pytest

from headway.bench.arrivals import diurnal, read_arrivals
from headway.bench.fields import BadWorkload
from headway.bench.workload import Arrival, Part, Workload
from tests.fresh_processes import told_by_two

patterns = ("poisson", "constant", "gamma:2", "gamma:0.5", "bursts:4", "diurnal:600:0.8")


def times(pattern: str, rate: float = 10.0, until_s: float = 6000.0, seed: int = 3) -> list[float]:
    gaps, bend = read_arrivals(pattern)
    workload = Workload((Part("chat", 1.0, "short"),), gaps, bend)
    return [one.at_s for one in workload.arrivals(rate, seed, until_s)]


@pytest.mark.parametrize("pattern", patterns)
def test_every_pattern_has_the_mean_rate_and_rises(pattern: str) -> None:
    found = times(pattern)
    assert len(found) / 6000.0 == pytest.approx(10.0, rel=0.05)
    assert all(a <= b for a, b in pairwise(found))


@pytest.mark.parametrize(("pattern", "cv"), [("constant", 0.0), ("gamma:2", 2.0), ("gamma:0.5", 0.5)])
def test_gaps_vary_as_they_are_told(pattern: str, cv: float) -> None:
    gaps = [b - a for a, b in pairwise(times(pattern))]
    assert stdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.05, abs=1e-9)


def test_a_day_s_rate_swings_as_a_sine_from_its_mean() -> None:
    found = times("diurnal:600:0.8")
    halves = [sum((at_s % 600.0) < 300.0 for at_s in found), sum((at_s % 600.0) >= 300.0 for at_s in found)]
    swing = 2 * 0.8 / pi  # of a half period, over the mean
    assert halves[0] / len(found) == pytest.approx((1 + swing) / 2, rel=0.03)
    best = sum(140.0 <= (at_s % 600.0) < 160.0 for at_s in found) / (20.0 * 10)
    worst = sum(440.0 <= (at_s % 600.0) < 460.0 for at_s in found) / (20.0 * 10)
    assert best == pytest.approx(18.0, rel=0.1)
    assert worst == pytest.approx(2.0, rel=0.35)


@pytest.mark.parametrize("depth", [0.0, 0.3, 1.0])
def test_bent_time_keeps_whole_periods_and_its_order(depth: float) -> None:
    bend = diurnal(100.0, depth)
    assert [bend(at_s) for at_s in (0.0, 100.0, 300.0)] == pytest.approx([0.0, 100.0, 300.0])
    bent = [bend(i / 7) for i in range(3000)]
    assert all(a <= b for a, b in pairwise(bent))
    if depth == 0.0:
        assert bent == pytest.approx([i / 7 for i in range(3000)])


def test_closed_is_all_at_once_and_needs_a_number() -> None:
    gaps, bend = read_arrivals("closed")
    parts = (Part("chat", 1.0, "short"),)
    found = list(Workload(parts, gaps, bend, requests=50).arrivals(1.0, 1, 10.0))
    assert [one.at_s for one in found] == [0.0] * 50
    with pytest.raises(BadWorkload, match="how many"):
        Workload(parts, gaps, bend)


def test_a_number_of_requests_ends_a_workload() -> None:
    found = list(Workload((Part("chat", 1.0, "short"),), requests=7).arrivals(1.0, 1, 1e9))
    assert len(found) == 7


@pytest.mark.parametrize(
    "text",
    [
        "", "poison", "poisson:2", "gamma", "gamma:", "gamma:0", "gamma:nan", "gamma:1e400", "gamma:x",
        "bursts:0.5", "diurnal", "diurnal:0", "diurnal:60:2", "diurnal:60:-1", "diurnal:60:0.5:1", "closed:5",
    ],
)  # fmt: skip
def test_patterns_that_are_none_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadWorkload) as refused:
        read_arrivals(text)
    assert "\n" not in str(refused.value)
    assert repr(text) in str(refused.value)


def draw_all() -> list[Arrival]:
    found = []
    for pattern in patterns:
        for lengths in ("arxiv", "azure-conv", "azure-code"):
            workload = Workload(
                (Part("chat", 0.7, lengths), Part("batch", 0.3, lengths)), *read_arrivals(pattern)
            )
            found += workload.arrivals(5.0, 11, 20.0)
    return found


def test_the_same_seed_draws_the_same_in_two_fresh_processes() -> None:
    program = "from tests.bench.test_arrivals import draw_all; print(draw_all())"
    told = told_by_two(program)
    assert len(told) == 1
    assert told == {f"{draw_all()}\n"}
    assert Random(1).random() == 0.13436424411240122, "what Python itself draws has changed"

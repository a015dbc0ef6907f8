"""Where more load stops to pay, on curves whose knee is known."""

import pytest

from headway.bench.knee import KNEES, Knee, Point, knee, kneedle, most_for_latency, quadrant, worth_until


def curve(rate_at: float = 16.0) -> list[Point]:
    """A machine that serves up to `rate_at` at once as fast as one alone, and more in turns."""
    points = []
    for n in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0):
        crowd = max(1.0, n / rate_at)
        points.append(Point(n, 100 * n / crowd + n / 10, 0.1 * crowd**2, 1.0 * crowd))
    return points


def test_throughput_over_latency_is_best_where_everyone_is_still_served_at_once() -> None:
    assert most_for_latency(curve()) == 16.0
    assert most_for_latency(curve(4.0)) == 4.0
    assert most_for_latency([]) is None


def test_kneedle_finds_the_bend() -> None:
    assert kneedle(curve()) == 16.0
    assert kneedle(curve(4.0)) == 4.0


def test_a_line_and_too_few_points_have_no_bend() -> None:
    assert kneedle([Point(n, 10 * n, 0.1 * n, 1.0) for n in (1.0, 2.0, 3.0, 4.0, 5.0)]) is None
    assert kneedle(curve()[:2]) is None


def test_a_throughput_that_falls_is_no_part_of_the_curve() -> None:
    assert kneedle([*curve(), Point(128.0, 900.0, 9.0, 30.0)]) == 16.0


def test_one_repeat_leaves_no_interval_and_equal_ones_leave_nothing_open() -> None:
    once = {p.load: [p] for p in curve()}
    thrice = {p.load: [p] * 3 for p in curve()}
    assert knee(most_for_latency, once) == Knee(16.0, None, None)
    assert knee(most_for_latency, thrice) == Knee(16.0, 16.0, 16.0)


def test_repeats_that_differ_leave_an_interval_that_holds_the_knee() -> None:
    curves = [curve(8.0), curve(16.0), curve(32.0)]
    repeats = {points[0].load: list(points) for points in zip(*curves, strict=True)}
    for pick in KNEES.values():
        load, low, high = knee(pick, repeats)
        assert low <= load <= high
        assert low < high


@pytest.mark.parametrize(
    ("rate", "ttft_s", "name"), [(40, 2.0, "I"), (40, 0.5, "II"), (60, 2.0, "III"), (60, 0.5, "IV")]
)
def test_quadrants_are_split_at_the_target_and_at_half_the_best(
    rate: float, ttft_s: float, name: str
) -> None:
    assert quadrant(Point(4.0, rate, ttft_s, 1.0), 1.0, 100.0) == name


def test_a_larger_batch_pays_until_its_steps_take_as_much_longer() -> None:
    assert worth_until(curve()) == 16.0
    assert worth_until(curve(64.0)) == 64.0
    assert worth_until(curve()[:1]) == 1.0

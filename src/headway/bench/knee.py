"""Where more load stops to pay: knees, quadrants, what still grows. Arithmetic on a sweep's points.

Owns the definitions of docs/definitions.md. A point is what one load came to; loads rise.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import NamedTuple

worth = 0.5  # of what a larger batch would gain if a step took no longer: below it arithmetic binds
resamples, interval_share = 1000, 0.95


class Point(NamedTuple):
    """Of one load, a batch size or a rate. Seconds."""

    load: float
    output_tok_s: float
    ttft_p95_s: float
    e2e_p50_s: float


class Knee(NamedTuple):
    """None: the curve has none."""

    load: float | None
    low: float | None  # of what repeats leave open, 95 in 100; None with one repeat
    high: float | None


Pick = Callable[[Sequence[Point]], float | None]


def kneedle(points: Sequence[Point]) -> float | None:
    """Where p95 TTFT against throughput bends most (Satopaa and others, 2011)."""
    from kneed import KneeLocator  # brings scipy

    rising = [p for i, p in enumerate(points) if all(p.output_tok_s > q.output_tok_s for q in points[:i])]
    rates, waits_s = [p.output_tok_s for p in rising], [p.ttft_p95_s for p in rising]
    if len(rising) < 3 or min(waits_s) == max(waits_s):
        return None
    found = KneeLocator(rates, waits_s, curve="convex", direction="increasing").knee
    return None if found is None else rising[rates.index(float(found))].load


def most_for_latency(points: Sequence[Point]) -> float | None:
    """Where throughput over latency, the median E2E, is greatest; of one load it says nothing."""
    return max(points, key=lambda p: p.output_tok_s / p.e2e_p50_s).load if len(points) > 1 else None


KNEES: Mapping[str, Pick] = {"kneedle": kneedle, "throughput_over_latency": most_for_latency}


def knee(pick: Pick, repeats: Mapping[float, Sequence[Point]]) -> Knee:
    """Of each load's repeats, taken together; its interval is what they give when drawn anew."""
    load = pick([mean(points) for points in repeats.values()])
    if min(len(points) for points in repeats.values()) < 2:
        return Knee(load, None, None)
    random, found = Random(0), list[float]()
    for _ in range(resamples):
        drawn = pick([mean(random.choices(points, k=len(points))) for points in repeats.values()])
        if drawn is not None:
            found.append(drawn)
    if not found:
        return Knee(load, None, None)
    found.sort()
    outside = int((1 - interval_share) / 2 * len(found))
    return Knee(load, found[outside], found[-1 - outside])


def mean(points: Sequence[Point]) -> Point:
    return Point(*(fmean(values) for values in zip(*points, strict=True)))


def quadrant(point: Point, target_s: float, best_tok_s: float) -> str:
    """By p95 TTFT and the target, by throughput and half of the best."""
    rich, quick = point.output_tok_s >= best_tok_s / 2, point.ttft_p95_s <= target_s
    return {(0, 0): "I", (0, 1): "II", (1, 0): "III", (1, 1): "IV"}[rich, quick]


def worth_until(points: Sequence[Point]) -> float:
    """The largest batch that still paid: each one before gained at least `worth` of what it could have."""
    largest = points[0]
    for point in points[1:]:
        gained = point.output_tok_s / largest.output_tok_s - 1
        if gained < worth * (point.load / largest.load - 1):
            break
        largest = point
    return largest.load

"""Observations counted by size. Owns the counts; what they are of, its owner knows."""

from bisect import bisect_left
from collections.abc import Sequence

# Seconds. The finest are for a fast device's tokens, the coarsest for a batch job's queue.
latency_bounds = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
# Of actual / forecast. In pairs around 1, so that how many lie within a distance of it can be told.
_distances = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
ratio_bounds = (
    *(round(1 - d, 2) for d in reversed(_distances)),
    1.0,
    *(round(1 + d, 2) for d in _distances),
    2.0,
    3.0,
    5.0,
)
token_bounds = tuple(float(1 << power) for power in range(15))  # tokens of a step: 1 to 16,384


class Histogram:
    """`bounds` rise; an observation belongs to the first bound that is not below it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: "Histogram") -> None:
        """Take another's observations in; its bounds are the same."""
        assert self.bounds == other.bounds
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """(bound, observations up to it), the last bound being infinite."""
        total, pairs = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            pairs.append((bound, float(total)))
        return pairs

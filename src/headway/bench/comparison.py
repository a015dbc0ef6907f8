"""Real figures beside simulated ones: which there are, how near is near enough, and which are.

Owns the arithmetic. Of repeats the median stands for all, and what lies between the least and the largest of
the real ones is their spread: within twice of it nobody can say that the simulation is wrong.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from headway.bench.report import Answer, ClassReport, Percentiles, overall, report
from headway.core.slo import ServiceClass

near, near_first, near_points = 0.10, 0.15, 0.05  # TPOT, E2E and capacity; TTFT; attainment
spreads = 2.0
ranks = ("p50", "p95")

Values = Mapping[str, float]
"""Of one run, by name. Seconds, or shares of requests."""


class Row(NamedTuple):
    name: str
    fraction: float | None  # of capacity, at which it was run; None: of no one rate
    real: tuple[float, ...]  # of each repeat
    simulated: tuple[float, ...]
    tolerance: float
    relative: bool  # the tolerance is a share of the real figure; else in its own unit

    @property
    def real_median(self) -> float:
        return median(self.real)

    @property
    def simulated_median(self) -> float:
        return median(self.simulated)

    @property
    def spread(self) -> float:
        return max(self.real) - min(self.real)

    @property
    def ratio(self) -> float | None:
        """Simulated to real. None: the real one is nothing."""
        return self.simulated_median / self.real_median if self.real_median else None

    @property
    def allowed(self) -> float:
        """How far off it may be."""
        tolerated = self.tolerance * (self.real_median if self.relative else 1.0)
        return max(tolerated, spreads * self.spread)

    @property
    def within(self) -> bool:
        return abs(self.simulated_median - self.real_median) <= self.allowed + 1e-12

    def as_json(self) -> dict[str, Any]:
        names = ("name", "fraction", "real", "simulated", "spread", "ratio", "allowed", "within")
        figures = {name: getattr(self, name) for name in names}
        return figures | {"real_median": self.real_median, "simulated_median": self.simulated_median}


def values(answers: Sequence[Answer], classes: Mapping[str, ServiceClass]) -> Values:
    """Latencies of all requests together; attainment of each class that has targets."""
    latencies = _latencies(overall(answers))
    lines = report(answers, classes, 1.0).classes.items()
    return latencies | {f"attainment {name}": line.attainment for name, line in lines if line.promised}


def _latencies(line: ClassReport) -> dict[str, float]:
    kinds: dict[str, Percentiles | None] = {"TTFT": line.ttft, "TPOT": line.tpot, "E2E": line.e2e}
    found = {kind: each for kind, each in kinds.items() if each is not None}
    return {f"{kind} {rank}": getattr(each, rank) for kind, each in found.items() for rank in ranks}


def rows(fraction: float, real: Sequence[Values], simulated: Sequence[Values]) -> list[Row]:
    """A row for each figure that every run has."""
    runs = [*real, *simulated]
    names = [name for name in runs[0] if all(name in other for other in runs)]
    return [
        Row(
            name,
            fraction,
            tuple(run[name] for run in real),
            tuple(run[name] for run in simulated),
            near_points if _is_share(name) else near_first if name.startswith("TTFT") else near,
            not _is_share(name),
        )
        for name in names
    ]


def capacity_row(real: float, simulated: float) -> Row:
    """Requests per second."""
    return Row("capacity", None, (real,), (simulated,), near, relative=True)


def shown(row: Row) -> tuple[str, ...]:
    """Name, where, real median and range, simulated, ratio, verdict; in ms, per cent, requests/s."""
    where = "" if row.fraction is None else f"{row.fraction:g}"
    real = [_in_words(row, value) for value in (row.real_median, min(row.real), max(row.real))]
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    simulated = _in_words(row, row.simulated_median)
    between = f"{real[1]} - {real[2]}" if len(row.real) > 1 else ""
    return row.name, where, real[0], between, simulated, ratio, "yes" if row.within else "NO"


def _in_words(row: Row, value: float) -> str:
    if row.fraction is None:
        return f"{value:.2f}/s"
    if _is_share(row.name):
        return f"{100 * value:.1f}%"
    return f"{1e3 * value:,.1f}" if row.name.startswith("TPOT") else f"{1e3 * value:,.0f}"


def _is_share(name: str) -> bool:
    return name.startswith("attainment")

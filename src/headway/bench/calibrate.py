"""Measuring a grid of batches on a machine that is not ours alone: each several times, in another order every
time, and once more where it was disturbed.

Owns the order, how often, and which runs count. Runs come in windows of about a second. A window is disturbed
when others had a part of the cores in it, or when the lightest decode, which each ends with, took longer than
it mostly does. Time comes from the steps' own stamps, and from who calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median, quantiles
from typing import NamedTuple

from headway.bench.grid import Wanted, decode
from headway.profile.file import Group, MeasuredStep

Visit = Callable[[Sequence[Group]], list[float]]

window_s = 1.0
taken_cores = 0.15  # that others had of a window, at most, for it to count
slower = 1.15  # than it mostly is: the anchor of a window that does not count
anchor = (decode(1, 64),)
least_runs = 2
long_share = 1 / 15  # of all the time: what takes longer is left out
longest_factor = 1.5  # of the time asked for, where runs have to be repeated
noise_quantiles = 20
probe_tokens = 64


class World(NamedTuple):
    """Where time passes, and others work."""

    now: Callable[[], float]  # seconds
    others_s: Callable[[], float | None]  # of cores that others have had; None: not known


class Measured(NamedTuple):
    steps: list[MeasuredStep]
    noise: list[float]  # quantiles of a run's time / the median of its like
    disturbed: float  # share of windows
    left_out: int  # batches that would have taken too long
    took_s: float


@dataclass(slots=True)
class _Case:
    wanted: Wanted
    quiet_s: list[float] = field(default_factory=list)
    disturbed_s: list[float] = field(default_factory=list)

    @property
    def runs_s(self) -> list[float]:
        """Those that count; where there is none, those that were disturbed."""
        return self.quiet_s or self.disturbed_s

    @property
    def lasts_s(self) -> float:
        return median(self.runs_s)


def measure(
    wanted: Sequence[Wanted],
    visit: Visit,
    seconds: float,
    world: World,
    told: Callable[[float], None],
    seed: int = 0,
) -> Measured:
    """For about so many seconds, and half as many more where others disturb. `told` hears the share done."""
    start_s = world.now()
    cases = [_Case(each) for each in _affordable(wanted, visit, long_share * seconds)]
    windows = _Windows(visit, world)
    for case in _order(cases, Random(seed)):
        spent_s = world.now() - start_s
        told(min(1.0, spent_s / seconds))
        enough = all(len(each.quiet_s) >= least_runs for each in cases)
        if spent_s > seconds * (1.0 if enough else longest_factor) and all(each.runs_s for each in cases):
            break
        windows.run(case)
    windows.close()
    steps = [_step(case) for case in cases]
    left_out = len(wanted) - len(cases)
    return Measured(steps, _noise(cases), windows.disturbed, left_out, world.now() - start_s)


def _affordable(wanted: Sequence[Wanted], visit: Visit, most_s: float) -> list[Wanted]:
    """Those that will not take longer than that, going by a short prompt. Its first run warms up."""
    (took_s,) = [visit((Group(1, 0, probe_tokens, True),)) for _ in range(2)][-1]
    return [each for each in wanted if each.tokens * took_s / probe_tokens <= most_s]


def _order(cases: list[_Case], random: Random) -> Iterator[_Case]:
    """Everyone `least_runs` times; then whoever has the fewest that count, long ones more seldom. Endless."""
    for _ in range(least_runs):
        yield from random.sample(cases, len(cases))
    while True:
        yield min(cases, key=lambda case: (len(case.quiet_s) + random.random()) * case.lasts_s**0.5)


class _Windows:
    """Runs cases; the runs of a window are handed to their cases when it is known whether they count."""

    def __init__(self, visit: Visit, world: World) -> None:
        self._visit, self._world = visit, world
        self._open: list[tuple[_Case, list[float]]] = []
        self._anchors_s: list[float] = []
        self._count = self._disturbed = 0
        self._begin()

    @property
    def disturbed(self) -> float:
        return self._disturbed / self._count if self._count else 0.0

    def _begin(self) -> None:
        self._open.clear()
        self._since_s, self._others_s = self._world.now(), self._world.others_s()

    def run(self, case: _Case) -> None:
        runs_s = self._visit(case.wanted.groups)
        self._open.append((case, runs_s))
        if not case.runs_s:
            case.disturbed_s += runs_s  # until there are better ones
        if self._world.now() - self._since_s >= window_s:
            self.close()

    def close(self) -> None:
        anchor_s = min(self._visit(anchor))
        self._anchors_s.append(anchor_s)
        disturbed = anchor_s > slower * median(self._anchors_s) or self._taken() > taken_cores
        for case, runs_s in self._open:
            (case.disturbed_s if disturbed else case.quiet_s).extend(runs_s)
        self._count += 1
        self._disturbed += disturbed
        self._begin()

    def _taken(self) -> float:
        """Cores that others had in this window."""
        now_s, others_s = self._world.now(), self._world.others_s()
        if others_s is None or self._others_s is None:
            return 0.0
        return (others_s - self._others_s) / (now_s - self._since_s)


def _step(case: _Case) -> MeasuredStep:
    runs_s = case.runs_s
    middle_s = median(runs_s)
    low_s, _, high_s = quantiles(runs_s, n=4) if len(runs_s) > 1 else (middle_s,) * 3
    kind, groups, held_out = case.wanted
    return MeasuredStep(kind, groups, middle_s, (high_s - low_s) / middle_s, len(runs_s), held_out)


def _noise(cases: list[_Case]) -> list[float]:
    """Of cases with runs enough for a median that is not one of them alone."""
    ratios = [run_s / case.lasts_s for case in cases if len(case.quiet_s) > 2 for run_s in case.quiet_s]
    return quantiles(ratios, n=noise_quantiles) if len(ratios) > noise_quantiles else [1.0]

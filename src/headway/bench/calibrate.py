"""Measuring a grid of batches on a machine that is not ours alone: each several times, in another order every
time, and once more where it was disturbed.

Owns the order, how often, and which runs count. A run does not when others had a part of the cores meanwhile.
Nor does it when the machine was slow for no reason that it tells: runs come in windows of some tenths of a
second, and the lightest decode, which each ends with, shows how quick the machine is just then. Time comes
from the steps' own stamps, and from who calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from random import Random
from statistics import median_low, quantiles
from typing import NamedTuple

from headway.bench.grid import Wanted, decode
from headway.profile.file import Group, MeasuredStep

Visit = Callable[[Sequence[Group]], list[float]]

window_s = 0.6
taken_cores = 0.15  # that others may have had meanwhile of what counts
told_apart_s = 0.02  # of cores: the system counts in hundredths
slower = 1.15  # than the quickest tenth of anchors: that of a window whose runs do not count
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
    disturbed: float  # share of visits
    left_out: int  # batches that would have taken too long
    took_s: float


@dataclass(slots=True)
class _Case:
    wanted: Wanted
    last_s: float = 0.0
    quiet_s: list[float] = field(default_factory=list)
    disturbed_s: list[float] = field(default_factory=list)

    @property
    def runs_s(self) -> list[float]:
        """Those that count; where there is none, the quickest third of those that were disturbed."""
        return self.quiet_s or sorted(self.disturbed_s)[: 1 + len(self.disturbed_s) // 3]

    @property
    def weight(self) -> float:
        """What has been done for it: a run that does not count is a fifth of one; long ones weigh more."""
        return (len(self.quiet_s) + 0.2 * len(self.disturbed_s)) * sqrt(self.last_s)


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
    windows = _Windows(visit, world, cases)
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
    """Everyone once; then whoever has had the least done for it. Endless."""
    yield from random.sample(cases, len(cases))
    while True:
        yield min(cases, key=lambda case: case.weight * (0.9 + 0.2 * random.random()))


class _Visit(NamedTuple):
    case: _Case
    runs_s: list[float]
    alone: bool  # others had next to nothing of the cores meanwhile


class _Windows:
    """Runs cases, and judges anew after each window which of all their runs count."""

    def __init__(self, visit: Visit, world: World, cases: Sequence[_Case]) -> None:
        self._visit, self._world, self._cases = visit, world, cases
        self._closed: list[tuple[float, list[_Visit]]] = []  # with the anchor's seconds
        self._open: list[_Visit] = []
        self._since_s = world.now()
        self.disturbed = 0.0  # share of visits

    def run(self, case: _Case) -> None:
        start_s, before_s = self._world.now(), self._world.others_s()
        runs_s = self._visit(case.wanted.groups)
        case.last_s = runs_s[-1]
        now_s, after_s = self._world.now(), self._world.others_s()
        taken_s = 0.0 if before_s is None or after_s is None else after_s - before_s
        self._open.append(_Visit(case, runs_s, taken_s <= taken_cores * (now_s - start_s) + told_apart_s))
        if now_s - self._since_s >= window_s:
            self.close()

    def close(self) -> None:
        self._closed.append((min(self._visit(anchor)), self._open))
        self._open, self._since_s = [], self._world.now()
        self._judge()

    def _judge(self) -> None:
        anchors_s = sorted(anchor_s for anchor_s, _ in self._closed)
        most_s = slower * anchors_s[len(anchors_s) // 10]
        for case in self._cases:
            case.quiet_s.clear()
            case.disturbed_s.clear()
        count = disturbed = 0
        for anchor_s, visits in self._closed:
            for case, runs_s, alone in visits:
                counts = alone and anchor_s <= most_s
                (case.quiet_s if counts else case.disturbed_s).extend(runs_s)
                count, disturbed = count + 1, disturbed + (not counts)
        self.disturbed = disturbed / max(1, count)


def _step(case: _Case) -> MeasuredStep:
    """The lower of two runs: what disturbs makes it longer only."""
    runs_s = case.runs_s
    middle_s = median_low(runs_s)
    low_s, _, high_s = quantiles(runs_s, n=4) if len(runs_s) > 1 else (middle_s,) * 3
    kind, groups, held_out = case.wanted
    return MeasuredStep(kind, groups, middle_s, (high_s - low_s) / middle_s, len(runs_s), held_out)


def _noise(cases: list[_Case]) -> list[float]:
    """Of cases with runs enough for a median that is not one of them alone."""
    often = [runs_s for case in cases if len(runs_s := case.quiet_s or case.disturbed_s) > 2]
    ratios = [run_s / median_low(runs_s) for runs_s in often for run_s in runs_s]
    return quantiles(ratios, n=noise_quantiles) if len(ratios) > noise_quantiles else [1.0]

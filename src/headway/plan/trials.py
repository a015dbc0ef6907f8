"""A candidate under a load, run at one rate after another: what it held, what it missed, how closely."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from headway.bench.report import ClassReport, Percentiles, Report
from headway.bench.workload import Load
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.plan.question import Candidate, Question
from headway.sim.capacity import attained, holds
from headway.sim.executor import Cost
from headway.sim.meter import Meter
from headway.sim.observe import Run, observe
from headway.sim.simulate import Trial, simulate

least_window_s = 20.0  # several times as long as a request stays, so that the batch is full for most of it
tail_s = 120.0  # load goes on so long at most after the window, until what came in it has ended


class Missed(NamedTuple):
    """The target that fared worst in a run that did not hold."""

    service_class: str
    target: str  # TTFT, ITL, E2E or completion
    strain: float  # what came over what was promised

    def __str__(self) -> str:
        return f"{self.service_class}'s {self.target}"


class Trials:
    """At least `requests` requests are judged in a run, and at least `least_window_s` of them."""

    def __init__(self, question: Question, load: Load, candidate: Candidate, requests: int) -> None:
        self._question, self._load, self._candidate = question, load, candidate
        self._requests = requests
        self._cost = candidate.deployment.cost()  # it remembers what depends on counts alone
        self.missed: Missed | None = None  # by the latest rate that was not held

    def hold(self, rate: float, seed: int) -> bool:
        """A run ends as soon as a class has missed too many for that."""
        report = simulate(
            self._trial(rate, self._cost),
            POLICIES[self._candidate.policy](),
            self._candidate.limits,
            rate,
            seed,
            tolerated=1 - attained,
        )
        if holds(report):
            return True
        self.missed = worst(report, self._question)
        return False

    def observe(self, rate: float, seed: int) -> Run:
        of = self._candidate
        trial = self._trial(rate, Meter(of.deployment))
        return observe(trial, POLICIES[of.policy](), of.limits, rate, seed)

    def _trial(self, rate: float, cost: Cost) -> Trial:
        of = self._candidate.deployment
        window_s = max(self._requests / rate, least_window_s)
        return Trial(
            self._load, self._question.classes, cost, paged, window_s, window_s + tail_s, of.depth, of.pp
        )


@dataclass(frozen=True, slots=True)
class _Strain:
    target: str
    promised_s: float | None
    came: Percentiles | None

    @property
    def ratio(self) -> float:
        return 0.0 if self.promised_s is None or self.came is None else self.came.p95 / self.promised_s


def worst(report: Report, question: Question) -> Missed:
    """Among classes whose promise was not kept; of no class's, among all."""
    lines = report.classes.items()
    broken = {name: line for name, line in lines if line.promised and line.attainment < attained}
    unfinished = [name for name, line in lines if not line.promised]
    if not broken and unfinished:
        return Missed(unfinished[0], "completion", inf)
    found = [
        Missed(name, each.target, each.ratio)
        for name, line in (broken or report.classes).items()
        for each in _strains(line, name, question)
    ]
    return max(found, key=lambda missed: missed.strain)


def strain(report: Report, question: Question) -> float:
    """The worst of all p95s over what was promised: below 1 there is room left. 0: nothing was promised."""
    return max(each.ratio for name, line in report.classes.items() for each in _strains(line, name, question))


def _strains(line: ClassReport, name: str, question: Question) -> tuple[_Strain, ...]:
    targets = question.classes[name].targets
    return (
        _Strain("TTFT", targets.ttft_s, line.ttft),
        _Strain("ITL", targets.itl_s, line.itl),
        _Strain("E2E", targets.deadline_s, line.e2e),
    )

"""A candidate under a load, run at one rate after another: what it held, what it missed, how closely."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from headway.bench.report import ClassReport, Percentiles, Report
from headway.bench.workload import Arrival, Load
from headway.core.memory import paged
from headway.core.policies import POLICIES
from headway.plan.bounds import Estimate
from headway.plan.question import Candidate, Question
from headway.plan.verdict import Verdict, apart, later, with_warm_up
from headway.sim.capacity import attained, holds
from headway.sim.executor import Cost
from headway.sim.judge import Judge
from headway.sim.meter import Meter, Usage
from headway.sim.observe import Observer
from headway.sim.simulate import Trial, run
from headway.sim.timeline import Point

least_stays, least_s = 0.6, 10.0  # of a window: times as long as a request stays, and at least so long
tail_stays = 8.0  # load goes on so long at most after the window, until what came in it has ended


class Entrant(NamedTuple):
    candidate: Candidate
    estimate: Estimate


class Missed(NamedTuple):
    """The target that fared worst in a run that did not hold."""

    service_class: str
    target: str  # TTFT, ITL, E2E or completion
    strain: float  # what came over what was promised

    def __str__(self) -> str:
        return f"{self.service_class}'s {self.target}"


class Seen(NamedTuple):
    """A run, looked at."""

    report: Report
    timeline: list[Point]
    usage: dict[str, Usage]
    preemptions: int


class Trials:
    """Requests are judged that come once the batch has filled: after as long as one stays, by estimate; and
    then `requests` of them, or those of `least_stays` times as long, or of `least_s`.
    """

    def __init__(self, question: Question, load: Load, entrant: Entrant, requests: int) -> None:
        self._question, self._load, self._requests = question, load, requests
        self._of, self._stay_s = entrant.candidate, entrant.estimate.stay_s
        self._cost = self._of.deployment.cost()  # it remembers what depends on counts alone
        self._known: dict[tuple[float, int], bool] = {}
        self.missed: Missed | None = None  # by the latest rate that was not held

    def hold(self, rate: float, seed: int) -> bool:
        """A run ends as soon as that is certain."""
        if (rate, seed) not in self._known:
            self._known[rate, seed] = self._held(rate, seed)
        return self._known[rate, seed]

    def _held(self, rate: float, seed: int) -> bool:
        trial = self._trial(rate, self._cost)
        asked = self._asked(trial, rate, seed)
        verdict = Verdict(asked, self._question.classes, self._stay_s, trial.window_s)
        self._run(trial, asked, seed, verdict)
        report = verdict.report()
        if holds(report):
            return True
        self.missed = worst(report, self._question)
        return False

    def observe(self, rate: float, seed: int) -> Seen:
        meter = Meter(self._of.deployment)
        trial = self._trial(rate, meter)
        asked = self._asked(trial, rate, seed)
        classes = self._question.classes
        observer = Observer(apart(asked, self._stay_s), with_warm_up(classes), trial.window_s, lambda: None)
        self._run(trial, asked, seed, observer)
        report = later(observer.answers(), classes, trial.window_s)
        return Seen(report, observer.timeline.points(), meter.usage(), observer.totals().preemptions)

    def _trial(self, rate: float, cost: Cost) -> Trial:
        of = self._of.deployment
        window_s = self._stay_s + max(self._requests / rate, least_stays * self._stay_s, least_s)
        horizon_s = window_s + tail_stays * self._stay_s + least_s
        return Trial(self._load, self._question.classes, cost, paged, window_s, horizon_s, of.depth, of.pp)

    def _asked(self, trial: Trial, rate: float, seed: int) -> list[Arrival]:
        return list(self._load.arrivals(rate, seed, trial.horizon_s))

    def _run(self, trial: Trial, asked: list[Arrival], seed: int, judge: Judge) -> None:
        run(trial, POLICIES[self._of.policy](), self._of.limits, asked, seed, judge)


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

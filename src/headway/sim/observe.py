"""One run looked at from all sides: the report of a real run, and what only a simulation can know."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from headway.bench.report import ClassReport, Report, overall, report
from headway.bench.workload import Arrival
from headway.core.limits import Limits
from headway.core.policies import Policy
from headway.core.slo import ServiceClass
from headway.core.types import Finished, Reason, Refused, Shares, Stepped
from headway.sim.faults import arrivals
from headway.sim.judge import Judge
from headway.sim.meter import Meter, Usage
from headway.sim.simulate import Trial, run
from headway.sim.timeline import Point, Timeline


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all requests of a run, judged or not."""

    duration_s: float  # from 0 to the last step's end
    steps: int
    busy: float  # the share of it in which a step ran
    input_tokens: int  # of answered requests
    output_tokens: int  # of all requests, as far as they came
    preemptions: int
    recomputed_tokens: int
    prefix_query_tokens: int
    prefix_hit_tokens: int
    ends: Mapping[str, int]  # how requests ended, or why they were refused


@dataclass(frozen=True, slots=True)
class Run:
    report: Report
    overall: ClassReport  # all classes together
    totals: Totals
    spent_s: Mapping[str, Mapping[str, float]]  # by class: where the time of its requests went, added up
    timeline: Sequence[Point]
    usage: Mapping[str, Usage]  # of prefill and of decode; empty where the cost keeps no books
    dollars: float  # what the devices cost for so long

    @property
    def dollars_per_million_tokens(self) -> float | None:
        """Of output. None: there was none."""
        tokens = self.totals.output_tokens
        return 1e6 * self.dollars / tokens if tokens else None

    @property
    def dollars_per_thousand_good(self) -> float | None:
        """Requests that met every target of their class. None: there was none."""
        met = sum(line.met for line in self.report.classes.values())
        return 1e3 * self.dollars / met if met else None


def observe(
    trial: Trial,
    policy: Policy,
    limits: Limits,
    rate: float,
    seed: int,
    *,
    dollars_per_hour: float = 0.0,
    told: Callable[[], None] = lambda: None,
) -> Run:
    """Run to the end. `told` is called as requests end. Where the trial has no window, all requests are
    judged, and rates are over the whole run. Clients who left are not judged.
    """
    asked = arrivals(trial.workload, rate, seed, trial.horizon_s, trial.faults)
    observer = Observer(asked, trial.classes, trial.window_s, told)
    run(trial, policy, limits, asked, seed, observer)
    totals = observer.totals()
    window_s = trial.window_s if trial.window_s < inf else max(totals.duration_s, 1e-9)
    stayed = [a for id, a in enumerate(observer.answers()) if id not in observer.left]
    return Run(
        report(stayed, trial.classes, window_s),
        overall(stayed),
        totals,
        observer.spent_s(),
        observer.timeline.points(),
        trial.cost.usage() if isinstance(trial.cost, Meter) else {},
        dollars_per_hour * totals.duration_s / 3600,
    )


class Observer(Judge):
    def __init__(
        self,
        asked: Sequence[Arrival],
        classes: Mapping[str, ServiceClass],
        window_s: float,
        told: Callable[[], None],
    ) -> None:
        super().__init__(asked, classes, window_s, tolerated=1.0)
        self.timeline = Timeline()
        self.left: set[int] = set()  # requests whose clients left
        self._asked = asked
        self._told = told
        self._spent_ns = defaultdict[str, list[int]](lambda: [0] * len(Shares._fields))
        self._ends = Counter[str]()
        self._input_tokens = self._output_tokens = 0
        self._steps = 0
        self._busy_s = self._end_s = 0.0
        self._counts = (0, 0, 0, 0)

    def finished(self, event: Finished) -> None:
        if event.reason is Reason.CANCELLED:
            self.left.add(event.request_id)
        elif event.reason in (Reason.STOP, Reason.LENGTH):
            self._input_tokens += event.prompt_tokens
        self._ends[event.reason.value] += 1
        self._output_tokens += event.output_tokens
        spent = self._spent_ns[self._asked[event.request_id].service_class]
        for share, ns in enumerate(event.spent_ns):
            spent[share] += ns
        self._told()

    def refused(self, event: Refused) -> None:
        self._ends[f"refused: {event.reason.value}"] += 1
        self._told()

    def stepped(self, frame: Stepped) -> None:
        self._steps += 1
        self._busy_s += frame.step_s
        self._end_s = frame.at_s
        self.timeline.add(frame)
        preemptions, recomputed, queried, hit = self._counts
        self._counts = (
            preemptions + frame.preemptions,
            recomputed + frame.recomputed_tokens,
            queried + frame.prefix_query_tokens,
            hit + frame.prefix_hit_tokens,
        )

    def totals(self) -> Totals:
        busy = self._busy_s / self._end_s if self._end_s else 0.0
        tokens = self._input_tokens, self._output_tokens
        return Totals(self._end_s, self._steps, busy, *tokens, *self._counts, dict(self._ends))

    def spent_s(self) -> dict[str, dict[str, float]]:
        return {
            name: {share: ns / 1e9 for share, ns in zip(Shares._fields, spent, strict=True)}
            for name, spent in self._spent_ns.items()
        }

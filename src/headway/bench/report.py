"""From token stamps to the words of docs/definitions.md, per class. The same for a simulation and for HTTP.

Owns the arithmetic; knows no clock and no engine. Every percentile is the nearest rank: the smallest value
that at least so many in a hundred do not exceed. Nothing is interpolated, so a request's p95 gap is one of
its gaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from headway.core.slo import NO_TARGETS, ServiceClass, Targets

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got. Refused, expired, failed and unfinished requests are answers too, not
    `complete`."""

    service_class: str  # the one it asked for
    arrival_s: float
    stamps: Sequence[float]  # of its tokens, in order
    complete: bool
    tokens: int  # prompt and output, as offered

    @property
    def ttft_s(self) -> float:
        return self.stamps[0] - self.arrival_s

    @property
    def e2e_s(self) -> float:
        return self.stamps[-1] - self.arrival_s

    @property
    def gaps_s(self) -> Seconds:
        return np.diff(np.asarray(self.stamps, np.float64))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds, over `count` values."""

    p50: float
    p95: float
    p99: float
    count: int
    mean: float


@dataclass(frozen=True, slots=True)
class ClassReport:
    """One class's part of a run. None: no request gave such a value."""

    promised: bool  # the class has targets
    requests: int
    incomplete: int
    met: int  # complete, and every target met
    met_output_tokens: int
    tokens: int  # prompt and output of all requests
    complete_tokens: int  # of those that were complete
    ttft: Percentiles | None  # of all that got a first token
    itl: Percentiles | None  # over all gaps
    tpot: Percentiles | None  # of complete requests with two tokens or more
    e2e: Percentiles | None  # of complete requests

    @property
    def attainment(self) -> float:
        return self.met / self.requests if self.requests else 1.0

    @property
    def completion(self) -> float:
        """The share of the tokens offered that belong to complete requests."""
        return self.complete_tokens / self.tokens if self.tokens else 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """A run: the requests that arrived within `window_s`."""

    window_s: float
    classes: Mapping[str, ClassReport]

    @property
    def goodput(self) -> float:
        """Requests per second that met every target of their class, over all classes."""
        return sum(c.met for c in self.classes.values()) / self.window_s

    @property
    def goodput_tok_s(self) -> float:
        """The output tokens of those requests, per second."""
        return sum(c.met_output_tokens for c in self.classes.values()) / self.window_s

    @property
    def attainment(self) -> float:
        """Of the class that fares worst among those with targets; 1 if none has any."""
        return min((c.attainment for c in self.classes.values() if c.promised), default=1.0)

    @property
    def completion(self) -> float:
        """Of the class without targets that fares worst; 1 if there is none."""
        return min((c.completion for c in self.classes.values() if not c.promised), default=1.0)


def percentile(values: Seconds, percent: int) -> float:
    """The nearest rank; at least one value."""
    rank = -(-len(values) * percent // 100)
    return float(np.partition(values, rank - 1)[rank - 1])


def meets(answer: Answer, targets: Targets) -> bool:
    """Complete, first token in time, at most 5 in 100 gaps too long, whole in time."""
    return missed_target(answer, targets) is None


def missed_target(answer: Answer, targets: Targets) -> str | None:
    """The first that it missed: completion, ttft, deadline or itl."""
    if not answer.complete:
        return "completion"
    if targets.ttft_s is not None and answer.ttft_s > targets.ttft_s:
        return "ttft"
    if targets.deadline_s is not None and answer.e2e_s > targets.deadline_s:
        return "deadline"
    if targets.itl_s is None or len(answer.stamps) < 2 or percentile(answer.gaps_s, 95) <= targets.itl_s:
        return None
    return "itl"


def report(answers: Iterable[Answer], classes: Mapping[str, ServiceClass], window_s: float) -> Report:
    """One line for each class of `classes` that an answer belongs to, in the order of `classes`."""
    by_class: dict[str, list[Answer]] = {name: [] for name in classes}
    for answer in answers:
        by_class[answer.service_class].append(answer)
    lines = {name: _line(group, classes[name].targets) for name, group in by_class.items() if group}
    return Report(window_s, lines)


def overall(answers: Sequence[Answer]) -> ClassReport:
    """Of all classes together, whatever they were promised: every complete one is met."""
    return _line(answers, NO_TARGETS)


def _line(answers: Sequence[Answer], targets: Targets) -> ClassReport:
    complete = [a for a in answers if a.complete]
    met = [a for a in complete if meets(a, targets)]
    tpots = [(a.stamps[-1] - a.stamps[0]) / (len(a.stamps) - 1) for a in complete if len(a.stamps) > 1]
    return ClassReport(
        promised=any(target is not None for target in targets),
        requests=len(answers),
        incomplete=len(answers) - len(complete),
        met=len(met),
        met_output_tokens=sum(len(a.stamps) for a in met),
        tokens=sum(a.tokens for a in answers),
        complete_tokens=sum(a.tokens for a in complete),
        ttft=percentiles([a.ttft_s for a in answers if a.stamps]),
        itl=percentiles(np.concatenate([a.gaps_s for a in answers]) if answers else ()),
        tpot=percentiles(tpots),
        e2e=percentiles([a.e2e_s for a in complete]),
    )


def latencies(line: ClassReport) -> dict[str, dict[str, float] | None]:
    """As numbers under names. None: no request gave such a value."""
    kinds = {"ttft_s": line.ttft, "tpot_s": line.tpot, "itl_s": line.itl, "e2e_s": line.e2e}
    return {name: None if found is None else asdict(found) for name, found in kinds.items()}


def percentiles(values: Sequence[float] | Seconds) -> Percentiles | None:
    """None: there are no values."""
    if not len(values):
        return None
    array = np.asarray(values, np.float64)
    p50, p95, p99 = (percentile(array, percent) for percent in (50, 95, 99))
    return Percentiles(p50, p95, p99, len(array), fsum(array) / len(array))

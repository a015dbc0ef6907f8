"""The largest rate at which every promise holds, from trials that luck has a part in: where to look next,
what they say together, and how sure that is.

A class with targets holds where at most 5 in 100 of its requests miss them, one without where at most 10 in
100 end incomplete. Near the answer the logit of a class's share of misses is taken for a straight line in the
logarithm of the rate, fitted to all trials; capacity is where the first class's line crosses what it may
miss. Its interval is what the same trials give when they are drawn anew (a bootstrap over trials, since
requests of one trial share their queue), widened as Student's distribution asks of so few. Trials are the
caller's.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headway.bench.report import Answer, missed_target
from headway.core.slo import ServiceClass, Targets

Numbers = NDArray[np.float64]

may_miss, may_not_end = 0.05, 0.10  # shares: of a class with targets, of one without
hopeless = 4.0  # a trial may stop at so many times what a class may miss,
fewest_missed = 5.0  # and at so many misses at least
stride, bracket = 2.0, 1.25  # factors between rates: of the first ones, of the two that hold and do not
furthest = 64.0  # a factor below the guess: where nothing holds there, nothing will
highest_rate = 1e5  # requests per second
near = 1.3  # a factor: trials so near to the answer are fitted
most_moved = 1.1  # a factor: no trial moves the answer so far by more
places = (0.94, 1.06, 1.0)  # of the answer so far: where the next trials are
judged_from, judged_to = 0.1, 0.9  # of a trial's requests: the first find it empty, the last are alone
resamples, outside, fewest_fitted = 1000, 0.025, 5  # of the interval; trials that it takes
rounds = 25  # of Newton's method


class Trial(NamedTuple):
    """A rate was tried: of each class how many requests were judged, and how many missed which target. Of a
    trial that was stopped only the class that stopped it."""

    rate: float  # requests per second
    requests: Mapping[str, int]
    missed: Mapping[tuple[str, str], int]  # (class, target): a request counts for the first one it missed

    def misses(self, name: str) -> int:
        return sum(count for (own, _), count in self.missed.items() if own == name)


Attempt = Callable[[float, int], Trial]
"""A rate and the trial's number, which is its seed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Requests per second. `rate` 0: none holds; None: the trials ran out before any held, or before any did
    not. `low` 0 or `high` inf: that end is open."""

    rate: float | None
    low: float
    high: float
    binds: tuple[str, str] | None  # class and target that most requests missed near the answer
    trials: Sequence[Trial]


def judged(
    answers: Sequence[Answer],
    classes: Mapping[str, ServiceClass],
    rate: float,
    stopped_s: float | None = None,
) -> Trial:
    """Of a trial's answers, in the order of their arrival. `stopped_s`: when it was cut off; then who was
    neither answered nor late counts for nothing, nor does any class but the one that fares worst.
    """
    own = answers[int(judged_from * len(answers)) : ceil(judged_to * len(answers))]
    verdicts = [(a.service_class, _verdict(a, classes[a.service_class].targets, stopped_s)) for a in own]
    known = [(name, target) for name, target in verdicts if target != "open"]
    missed = Counter((name, target) for name, target in known if target is not None)
    requests = Counter(name for name, _ in known)
    if stopped_s is not None:
        counts = Counter(name for name, _ in missed.elements())
        stopper = max(counts, key=lambda n: counts[n] / requests[n] / allowed(classes[n]), default=None)
        requests = Counter({name: count for name, count in requests.items() if name == stopper})
        missed = Counter({pair: count for pair, count in missed.items() if pair[0] == stopper})
    return Trial(rate, requests, missed)


def _verdict(answer: Answer, targets: Targets, stopped_s: float | None) -> str | None:
    """The target that it missed, or None; `open` where nobody knows."""
    if answer.complete or stopped_s is None:
        return missed_target(answer, targets)
    first_s = answer.stamps[0] if answer.stamps else stopped_s
    if first_s - answer.arrival_s > (targets.ttft_s or inf):
        return "ttft"
    return "deadline" if stopped_s - answer.arrival_s > (targets.deadline_s or inf) else "open"


def allowed(service_class: ServiceClass) -> float:
    """The share of a class's requests that may miss."""
    return may_miss if any(target is not None for target in service_class.targets) else may_not_end


def most_missed(service_class: ServiceClass, requests: int) -> float:
    """With more misses a trial of so many of its requests may stop."""
    return max(fewest_missed, hopeless * allowed(service_class) * requests)


def largest_rate(
    attempt: Attempt, classes: Mapping[str, ServiceClass], guess: float, most_trials: int
) -> Found:
    """Bracket the answer by strides, bisect, and spend what is left of `most_trials` around it."""
    shares = {name: allowed(each) for name, each in classes.items()}
    trials = list[Trial]()

    def holds(rate: float) -> bool:
        trials.append(attempt(rate, len(trials)))
        return worst(trials[-1], shares) <= 1.0

    low, high = 0.0, inf
    rate = guess
    while not low or high == inf:
        low, high = (rate, high) if holds(rate) else (low, rate)
        if high <= guess / furthest:
            return Found(0.0, 0.0, high, binding(trials, shares), trials)
        rate = rate * stride if high == inf else rate / stride
        if (len(trials) >= most_trials or rate > highest_rate) and (not low or high == inf):
            return Found(None, low, high, binding(trials, shares), trials)
    while high / low > bracket and len(trials) < most_trials:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    rate = (low * high) ** 0.5
    while len(trials) < most_trials:
        holds(rate * places[len(trials) % len(places)])
        rate = min(max(fitted(trials, shares, rate), rate / most_moved), rate * most_moved)
    rate = fitted(trials, shares, rate)
    close = [t for t in trials if rate / near <= t.rate <= rate * near]
    return Found(rate, *interval(trials, shares, rate), binding(close, shares), trials)


def worst(trial: Trial, shares: Mapping[str, float]) -> float:
    """The largest share of misses, in units of what its class may miss."""
    return max(
        (trial.misses(name) / count / shares[name] for name, count in trial.requests.items() if count),
        default=0.0,
    )


def binding(trials: Iterable[Trial], shares: Mapping[str, float]) -> tuple[str, str] | None:
    """Class and target with the most misses, in units of what the class may miss."""
    missed, requests = Counter[tuple[str, str]](), Counter[str]()
    for trial in trials:
        missed.update(trial.missed)
        requests.update(trial.requests)
    ranked = {pair: count / (shares[pair[0]] * requests[pair[0]]) for pair, count in missed.items()}
    return max(ranked, key=lambda pair: ranked[pair], default=None)


def fitted(trials: Sequence[Trial], shares: Mapping[str, float], about: float) -> float:
    """Where the first class's line crosses, near `about`, the answer as known so far."""
    own = [t for t in trials if about / near <= t.rate <= about * near]
    if len({t.rate for t in own}) < 2:
        return about
    found = _first_crossings(own, shares, about, np.ones((1, len(own))))
    return about * exp(min(max(float(found[0]), -log(stride)), log(stride)))


def interval(trials: Sequence[Trial], shares: Mapping[str, float], rate: float) -> tuple[float, float]:
    """95 % of what the trials near the answer give, drawn anew; widened, since there are few of them."""
    own = [t for t in trials if rate / near <= t.rate <= rate * near]
    count = len(own)
    if count < fewest_fitted:
        return 0.0, inf
    weights = np.random.default_rng(count).multinomial(count, [1 / count] * count, resamples)
    crossings = _first_crossings(own, shares, rate, weights.astype(np.float64))
    low, high = np.quantile(np.clip(crossings, -log(stride), log(stride)), (outside, 1 - outside))
    wider = _student(count - 2) / _student(inf) * sqrt(count / (count - 2))
    low, high = wider * low, wider * high
    return (0.0 if low <= -log(stride) else rate * exp(low)), (
        inf if high >= log(stride) else rate * exp(high)
    )


def _student(freedom: float) -> float:
    """The 97.5th percentile of Student's distribution, to 2 % from 3 degrees on (Cornish and Fisher)."""
    z = 1.96
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + (z**3 + z) / (4 * freedom) + second


def _first_crossings(
    trials: Sequence[Trial], shares: Mapping[str, float], about: float, weights: Numbers
) -> Numbers:
    """For each row of weights: the logarithm, from `about`, of the rate where the first class's line crosses
    what it may miss. inf: none was asked."""
    logs = np.log([t.rate / about for t in trials])
    crossings = np.full(len(weights), inf)
    for name, share in shares.items():
        requests = np.array([t.requests.get(name, 0) for t in trials], np.float64)
        misses = np.array([t.misses(name) for t in trials], np.float64)
        misses = np.minimum(misses, hopeless * share * requests)  # at least so many, of a trial that stopped
        asked = (weights * requests).sum(1) > 0
        if asked.any():
            level = log(share / (1 - share))
            crossings[asked] = np.minimum(
                crossings[asked], _crossings(logs, requests, misses, weights[asked], level)
            )
    return crossings


def _crossings(logs: Numbers, requests: Numbers, misses: Numbers, weights: Numbers, level: float) -> Numbers:
    """Of each row of weights: where the line of its logistic regression reaches `level`. Newton's method on
    all rows at once; a line that would fall, or that has nothing to hold it, is kept within bounds.
    """
    count = weights * requests
    share = misses / np.maximum(requests, 1.0)
    start = np.clip((count * share).sum(1) / count.sum(1), 1e-4, 0.9)
    base, slope = np.log(start / (1 - start)), np.full(len(count), 5.0)
    for _ in range(rounds):
        expected = 1.0 / (1.0 + np.exp(-np.clip(base[:, None] + slope[:, None] * logs, -30, 30)))
        error, spread = count * (share - expected), count * expected * (1 - expected)
        a, b, c = spread.sum(1), (spread * logs).sum(1), (spread * logs**2).sum(1) + 1e-6
        first, second = error.sum(1), (error * logs).sum(1)
        det = np.maximum(a * c - b * b, 1e-9)
        base = base + np.clip((c * first - b * second) / det, -2, 2)
        slope = np.clip(slope + np.clip((a * second - b * first) / det, -10, 10), 0.5, 200.0)
    crossing: Numbers = (level - base) / slope
    return crossing

"""The largest rate at which every promise holds, from trials that luck has a part in: where to look next,
what they say together, and how sure that is.

A class with targets holds where at most 5 in 100 of its requests miss them, one without where at most 10 in
100 end incomplete. Near the answer the logit of a class's share of misses is taken for a straight line in the
logarithm of the rate, fitted to all trials; capacity is where the first class's line crosses what it may
miss. Its interval is what the same trials give when they are drawn anew (a bootstrap over trials, since
requests of one trial share their queue). Trials are the caller's.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headway.bench.report import Answer, missed_target
from headway.core.slo import ServiceClass

Numbers = NDArray[np.float64]

may_miss, may_not_end = 0.05, 0.10  # shares: of a class with targets, of one without
hopeless = 4.0  # times what it may miss: a trial may stop there, and says no more than that
stride, bracket = 1.4, 1.25  # factors between rates: of the first ones, of the two that hold and do not
near = 1.3  # a factor: trials so near to the answer are fitted
pace = 1.1  # a factor: no trial moves the answer so far by more
places = (0.94, 1.06, 1.0)  # of the answer so far: where the next trials are
lowest_rate, highest_rate = 1e-3, 1e5  # requests per second
judged_from, judged_to = 0.1, 0.9  # of a trial's requests: the first find it empty, the last are alone
resamples, interval_share, rounds = 1000, 0.95, 25


class Trial(NamedTuple):
    """A rate was tried: of each class how many requests were judged, and how many missed which target."""

    rate: float  # requests per second
    requests: Mapping[str, int]
    missed: Mapping[tuple[str, str], int]  # (class, target): a request counts for the first one it missed

    def misses(self, name: str) -> int:
        return sum(count for (own, _), count in self.missed.items() if own == name)


Attempt = Callable[[float, int], Trial]
"""A rate and the trial's number, which is its seed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Requests per second. `rate` 0: no rate holds; `low` 0 or `high` inf: the trials leave that end open."""

    rate: float
    low: float
    high: float
    binds: tuple[str, str] | None  # class and target that most requests missed near the answer
    trials: Sequence[Trial]


def judged(
    answers: Sequence[Answer], classes: Mapping[str, ServiceClass], rate: float, until: float = judged_to
) -> Trial:
    """Of a trial's answers, in the order of their arrival."""
    own = answers[int(judged_from * len(answers)) : ceil(until * len(answers))]
    targets = ((a.service_class, missed_target(a, classes[a.service_class].targets)) for a in own)
    missed = Counter((name, target) for name, target in targets if target is not None)
    return Trial(rate, Counter(a.service_class for a in own), missed)


def allowed(service_class: ServiceClass) -> float:
    """The share of a class's requests that may miss."""
    return may_miss if any(target is not None for target in service_class.targets) else may_not_end


def largest_rate(
    attempt: Attempt, classes: Mapping[str, ServiceClass], guess: float, most_trials: int
) -> Found:
    """Bracket the answer by strides, bisect, and spend what is left of `most_trials` around it."""
    shares = {name: allowed(each) for name, each in classes.items()}
    trials = list[Trial]()

    def holds(rate: float) -> bool:
        trials.append(attempt(rate, len(trials)))
        return worst(trials[-1], shares) <= 1.0

    low = high = guess
    if holds(guess):
        while high < highest_rate and len(trials) < most_trials and holds(high := high * stride):
            low = high
    else:
        while not holds(low := low / stride):
            high = low
            if low < lowest_rate or len(trials) >= most_trials:
                return Found(0.0, 0.0, low, binding(trials[-1:], shares), trials)
    while high / low > bracket and len(trials) < most_trials:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if holds(middle) else (low, middle)
    rate = (low * high) ** 0.5
    while len(trials) < most_trials:
        holds(rate * places[len(trials) % len(places)])
        rate = min(max(fitted(trials, shares, rate)[0], rate / pace), rate * pace)
    rate, least, most = fitted(trials, shares, rate)
    close = [t for t in trials if rate / near <= t.rate <= rate * near and worst(t, shares) <= hopeless]
    return Found(rate, least, most, binding(close or trials, shares), trials)


def worst(trial: Trial, shares: Mapping[str, float]) -> float:
    """The largest share of misses, in units of what its class may miss."""
    return max(
        (trial.misses(name) / count / shares[name] for name, count in trial.requests.items() if count),
        default=0.0,
    )


def binding(trials: Iterable[Trial], shares: Mapping[str, float]) -> tuple[str, str] | None:
    """Class and target with the most misses, in units of what the class may miss."""
    weights = Counter[tuple[str, str]]()
    requests = Counter[str]()
    for trial in trials:
        weights.update(trial.missed)
        requests.update(trial.requests)
    ranked = {pair: count / (shares[pair[0]] * requests[pair[0]]) for pair, count in weights.items()}
    return max(ranked, key=lambda pair: ranked[pair], default=None)


def fitted(trials: Sequence[Trial], shares: Mapping[str, float], about: float) -> tuple[float, float, float]:
    """Where the first class's line crosses, and the interval. `about`: the answer as known so far."""
    own = [t for t in trials if about / near <= t.rate <= about * near]
    if len({t.rate for t in own}) < 2:
        return about, 0.0, inf
    logs = np.log([t.rate / about for t in own])
    drawn = np.random.default_rng(len(own)).multinomial(len(own), [1 / len(own)] * len(own), resamples)
    weights = np.vstack([np.ones(len(own)), drawn]).astype(np.float64)
    crossings = np.full(len(weights), inf)
    for name, share in shares.items():
        requests = np.array([t.requests.get(name, 0) for t in own], np.float64)
        misses = np.array([t.misses(name) for t in own], np.float64)
        misses = np.minimum(misses, hopeless * share * requests)  # at least so many, of a trial that stopped
        if requests.sum():
            crossings = np.minimum(
                crossings, _crossings(logs, requests, misses, weights, log(share / (1 - share)))
            )
    rates = about * np.exp(np.clip(crossings, -log(stride), log(stride)))
    outside = (1 - interval_share) / 2
    low, high = np.quantile(rates[1:], (outside, 1 - outside))
    return (
        float(rates[0]),
        0.0 if low <= about / stride * 1.001 else float(low),
        inf if high >= about * stride * 0.999 else float(high),
    )


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

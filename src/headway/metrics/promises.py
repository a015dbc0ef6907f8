"""Which promises were kept, by the class that was asked for: since the start and of late.

Owns the verdict on a request, in the words of docs/definitions.md. A downgrade changes nothing here. What is
refused for want of time or room, fails or expires has missed every target. A client that leaves is counted
for what it had missed by then and for nothing else: whether it would have been in time, nobody knows.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from headway.core.slo import Targets
from headway.core.types import Finished, Reason, Refusal, Shares

SLOS = ("ttft", "itl", "e2e")  # in the order of Targets
whole = (Reason.STOP, Reason.LENGTH)  # ends of answers; what is cut short has no latency to compare
callers_fault = (Refusal.TOO_LONG, Refusal.NEVER_FITS)  # no promise was given
recent_s = 60
most_lately = 1_000  # requests of a class whose courses are kept, for a live change to be judged by


class Miss(NamedTuple):
    slo: str
    took_s: float | None  # None: it was not served to the end
    target_s: float


class Verdict(NamedTuple):
    """On a whole request. `attained` and `missed`: of the targets that it has."""

    attained: tuple[str, ...]
    missed: tuple[Miss, ...]
    is_good: bool  # complete, and nothing missed
    counts: bool  # False: a client left that had missed nothing
    output_tokens: int


class Outcome(NamedTuple):
    """What came of a request by `at_s`, whatever was promised."""

    at_s: float
    own: Targets  # that it brought, in place of its class's
    worst_s: tuple[float, ...] = (0.0, 0.0, 0.0)  # in the order of Targets
    output_tokens: int = 0
    failed: bool = False
    left: bool = False  # before its end

    def verdict(self, promised: Targets) -> Verdict:
        attained: list[str] = []
        missed: list[Miss] = []
        targets = promised.replaced(self.own)
        for slo, took_s, target_s in zip(SLOS, self.worst_s, targets, strict=True):
            if target_s is None:
                continue
            if self.failed or took_s > target_s:
                missed.append(Miss(slo, None if self.failed else took_s, target_s))
            elif not self.left:
                attained.append(slo)
        is_good = not (self.failed or self.left or missed)
        counts = not self.left or bool(missed)
        return Verdict(tuple(attained), tuple(missed), is_good, counts, self.output_tokens)


@dataclass(slots=True)
class Course:
    """What came of a request's ended choices: the slowest counts."""

    arrival_s: float
    own: Targets
    worst_s: list[float] = field(default_factory=lambda: [0.0] * len(SLOS))
    output_tokens: int = 0
    failed: bool = False
    left: bool = False
    spent_ns: Shares = field(default_factory=Shares)  # of the choice that took longest

    def end(self, event: Finished, stamps: Sequence[float]) -> None:
        """One choice's; `stamps` of all its tokens, also those behind a stop string, which nobody awaits."""
        self.failed |= event.reason in (Reason.ERROR, Reason.EXPIRED)
        self.left |= event.reason is Reason.CANCELLED
        self.output_tokens += event.output_tokens
        self.spent_ns = max(self.spent_ns, event.spent_ns, key=sum)
        counted = stamps[: event.output_tokens]
        first_s = counted[0] if counted else event.at_s
        last_s = counted[-1] if counted and event.reason in whole else event.at_s
        seconds = (first_s - self.arrival_s, p95_gap_s(counted), last_s - self.arrival_s)
        self.worst_s = list(map(max, self.worst_s, seconds))

    def outcome(self, at_s: float) -> Outcome:
        return Outcome(at_s, self.own, tuple(self.worst_s), self.output_tokens, self.failed, self.left)


def p95_gap_s(stamps: Sequence[float]) -> float:
    """The nearest rank; 0 where there is no gap."""
    gaps = sorted(after - before for before, after in pairwise(stamps))
    return gaps[-(-len(gaps) * 95 // 100) - 1] if gaps else 0.0


class Share(NamedTuple):
    """Of requests, those that met every target."""

    requests: int
    good: int

    @property
    def attainment(self) -> float | None:
        return self.good / self.requests if self.requests else None


class Kept:
    """One class's promises, added up. Requests are counted as they end."""

    def __init__(self) -> None:
        self.attained: Counter[str] = Counter()  # by slo
        self.violated: Counter[str] = Counter()
        self.requests = 0
        self.good = 0
        self.good_tokens = 0  # output tokens of those
        self.lately: deque[Outcome] = deque(maxlen=most_lately)
        self._recent: deque[tuple[int, int, int]] = deque()  # second, requests, good; one entry a second

    def add(self, verdict: Verdict, outcome: Outcome) -> None:
        self.lately.append(outcome)
        if not verdict.counts:
            return
        self.attained.update(verdict.attained)
        self.violated.update(miss.slo for miss in verdict.missed)
        self.requests += 1
        self.good += verdict.is_good
        self.good_tokens += verdict.output_tokens if verdict.is_good else 0
        second, requests, good = int(outcome.at_s), 0, 0
        if self._recent and self._recent[-1][0] >= second:
            second, requests, good = self._recent.pop()
        self._recent.append((second, requests + 1, good + verdict.is_good))
        while self._recent[0][0] <= second - recent_s:
            self._recent.popleft()

    @property
    def since_start(self) -> Share:
        return Share(self.requests, self.good)

    def of_late(self, now_s: float) -> Share:
        """Of the last `recent_s` seconds."""
        recent = [entry for entry in self._recent if entry[0] > now_s - recent_s]
        return Share(sum(entry[1] for entry in recent), sum(entry[2] for entry in recent))

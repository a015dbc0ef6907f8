"""One open-loop run as serving papers judge it: P99 of all gaps between tokens, median wait for the first
step; and the largest rate at which both hold.

Owns the criterion, and that a run ends as soon as it is decided.
"""

from array import array
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from headway.bench.lengths import Draws
from headway.bench.workload import Arrival, Part, Workload
from headway.core.slo import BATCH
from headway.core.types import Event, Token
from headway.headlines.rows import Effort
from headway.headlines.world import System, make_engine
from headway.sim.capacity import capacity

shortest_s, longest_s = 10.0, 1800.0  # of a run; no rate is told from one that is over sooner
late_share = 0.01  # of gaps: what P99 leaves


class Goal(NamedTuple):
    gap_s: float  # P99 of all gaps between tokens
    wait_s: float = 2.0  # median, from arrival to the first step


class Served(NamedTuple):
    """A run until its end, or until it could no longer hold."""

    held: bool
    requests: int
    gaps: int
    late_gaps: int
    late_starts: int
    seconds: float


def capacity_of(system: System, draws: Draws, goal: Goal, effort: Effort, seed: int, guess: float) -> float:
    """Requests per second, 0 if no rate is held. Short runs find out where the long ones are to begin."""
    few, many = max(64, effort.requests // 8), effort.requests
    begin = capacity(partial(_holds, system, draws, goal, few, seed), guess, tolerance=0.1)
    if not begin:
        return 0.0
    return capacity(partial(_holds, system, draws, goal, many, seed), begin, effort.tolerance, stride=1.1)


def _holds(system: System, draws: Draws, goal: Goal, requests: int, seed: int, rate: float) -> bool:
    return rate * shortest_s <= requests and serve(system, draws, goal, requests, seed, rate).held


def serve(system: System, draws: Draws, goal: Goal, requests: int, seed: int, rate: float) -> Served:
    """Poisson arrivals, `requests` of them or as many as come in `longest_s`."""
    workload = Workload((Part(BATCH.name, 1.0, draws),), requests=requests)
    # Answers are as long as asked for, as benchmarks ask: a policy with `paged` memory cannot tell.
    arrivals = [a._replace(max_tokens=a.output_tokens) for a in workload.arrivals(rate, seed, longest_s)]
    watch = Watch(arrivals, goal)
    engine, clock = make_engine(system, arrivals, watch, begun=watch.begun)
    while not watch.lost and clock.now() < longest_s and engine.turn():
        pass
    return watch.served(clock.now())


class Watch:
    """A sink that counts what comes too late, and knows when too much has."""

    def __init__(self, arrivals: Sequence[Arrival], goal: Goal) -> None:
        self._arrivals, self._goal = arrivals, goal
        self._stamps = array("d", [0.0]) * len(arrivals)  # each request's last token
        self._has_begun = bytearray(len(arrivals))
        self._gaps = self._late_gaps = self._late_starts = 0
        self._most_late = late_share * sum(a.output_tokens - 1 for a in arrivals)

    @property
    def lost(self) -> bool:
        """Whatever comes, the goal is missed."""
        return self._late_gaps > self._most_late or 2 * self._late_starts > len(self._arrivals)

    def begun(self, number: int, start_s: float) -> None:
        if not self._has_begun[number]:
            self._has_begun[number] = 1
            self._late_starts += start_s - self._arrivals[number].at_s > self._goal.wait_s

    def publish(self, now: float, events: Sequence[Event]) -> None:
        stamps, gap_s = self._stamps, self._goal.gap_s
        for event in events:
            if type(event) is Token:
                number, at_s = event.request_id, event.at_s
                last_s, stamps[number] = stamps[number], at_s
                if last_s:
                    self._gaps += 1
                    self._late_gaps += at_s - last_s > gap_s

    def served(self, now: float) -> Served:
        begun = zip(self._arrivals, self._has_begun, strict=True)
        late_starts = self._late_starts + sum(
            not has_begun and now - a.at_s > self._goal.wait_s for a, has_begun in begun
        )
        requests = len(self._arrivals)
        held = 2 * late_starts <= requests and 0 < self._gaps * late_share >= self._late_gaps
        return Served(held, requests, self._gaps, self._late_gaps, late_starts, now)

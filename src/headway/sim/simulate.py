"""A workload under a policy on a device: a report.

Load goes on to the horizon, so that nobody is served in a calm that would not come; judged are the requests
that arrive within the window. What of them has not ended at the horizon counts as missed.
"""

from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headway.bench.report import Answer, Report, meets, report
from headway.bench.workload import Arrival, Load, request
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies import Policy
from headway.core.scheduler import Scheduler
from headway.core.slo import ServiceClass
from headway.core.types import Event, Finished, Reason, Refused, Token
from headway.sim.executor import Cost
from headway.sim.inbox import VirtualInbox
from headway.sim.scripted import LengthsExecutor


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything of a simulation but who is in charge."""

    workload: Load
    classes: Mapping[str, ServiceClass]
    cost: Cost
    memory: MemoryRule
    window_s: float
    horizon_s: float


def simulate(
    trial: Trial,
    policy: Policy,
    limits: Limits,
    rate: float,
    seed: int,
    *,
    tolerated: float = 1.0,
) -> Report:
    """Run to the horizon, or until every judged request has ended, or until a class with targets has missed
    more than `tolerated`, a share of its requests; what has not ended by then is missed, too.
    """
    arrivals = list(trial.workload.arrivals(rate, seed, trial.horizon_s))
    letters = ((arrival.at_s, request(id, arrival)) for id, arrival in enumerate(arrivals))
    clock = VirtualClock()
    executor = LengthsExecutor(clock, trial.cost, arrivals)
    inbox = VirtualInbox(clock, executor, letters)
    judge = Judge(arrivals, trial, tolerated)
    scheduler = Scheduler(limits, policy, trial.memory, classes=trial.classes)
    engine = Engine(clock, inbox, executor, judge, scheduler)
    while judge.undecided and clock.now() < trial.horizon_s and engine.turn():
        pass
    return report(judge.answers(), trial.classes, trial.window_s)


class Judge:
    """A sink that keeps each request's stamps and knows when a run is decided."""

    def __init__(self, arrivals: Sequence[Arrival], trial: Trial, tolerated: float) -> None:
        self._judged = [a for a in arrivals if a.at_s < trial.window_s]
        self._targets = {name: c.targets for name, c in trial.classes.items()}
        self._stamps = [array("d") for _ in arrivals]
        self._complete = [False] * len(arrivals)
        self._ended = [False] * len(arrivals)
        self._open = len(self._judged)
        self._missed = [False] * len(arrivals)
        self._awaited = {name: deque[int]() for name in self._targets}  # first tokens, in order of arrival
        counts = dict.fromkeys(self._targets, 0)
        for id, arrival in enumerate(self._judged):
            counts[arrival.service_class] += 1
            self._awaited[arrival.service_class].append(id)
        self._left = {name: tolerated * count for name, count in counts.items()}  # misses it may still have

    @property
    def undecided(self) -> bool:
        return self._open > 0 and min(self._left.values()) >= 0

    def publish(self, now: float, events: Sequence[Event]) -> None:
        stamps = self._stamps
        for event in events:
            if type(event) is Token:
                stamps[event.request_id].append(event.at_s)
            elif type(event) is Finished:
                self._end(event.request_id, complete=event.reason in (Reason.STOP, Reason.LENGTH))
            elif type(event) is Refused:
                self._end(event.request_id, complete=False)
        for name, awaited in self._awaited.items():
            patience_s = self._targets[name].ttft_s
            if patience_s is not None:
                self._await(awaited, now, patience_s)

    def _end(self, id: int, *, complete: bool) -> None:
        self._complete[id], self._ended[id] = complete, True
        if id < len(self._judged):
            self._open -= 1
            if not meets(self._answer(id), self._targets[self._judged[id].service_class]):
                self._miss(id)

    def _await(self, awaited: deque[int], now: float, patience_s: float) -> None:
        """First tokens that have come too late, or would come too late now."""
        while awaited and now - self._judged[awaited[0]].at_s > patience_s:
            id = awaited.popleft()
            first_s = self._stamps[id][0] if self._stamps[id] else now
            if first_s - self._judged[id].at_s > patience_s:
                self._miss(id)

    def _miss(self, id: int) -> None:
        if not self._missed[id]:
            self._missed[id] = True
            name = self._judged[id].service_class
            self._left[name] -= any(target is not None for target in self._targets[name])

    def _answer(self, id: int) -> Answer:
        arrival = self._judged[id]
        return Answer(
            arrival.service_class, arrival.at_s, self._stamps[id], self._complete[id], arrival.tokens
        )

    def answers(self) -> list[Answer]:
        return [self._answer(id) for id in range(len(self._judged))]

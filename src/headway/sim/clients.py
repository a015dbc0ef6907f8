"""Clients in simulation: each at its own time, or so many at a time, the next as soon as one has its answer.
Inbox and sink in one, since who asks next may depend on who has been answered.
"""

from collections import deque
from collections.abc import Sequence

from headway.bench.report import Answer
from headway.bench.workload import Arrival, request
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.scheduler import Scheduler
from headway.core.types import Event, Finished, Letter, Reason, Refused, Stepped, Token
from headway.sim.executor import SimExecutor


class Clients:
    """`at_a_time`: None for an open loop, whose requests come in the order of their times."""

    def __init__(
        self, clock: VirtualClock, executor: SimExecutor, asked: Sequence[Arrival], at_a_time: int | None
    ) -> None:
        self._clock = clock
        self._executor = executor
        self._asked = list(asked)
        self._open_loop = at_a_time is None
        self._coming = deque(range(len(asked)))  # who has not asked yet
        self._free = 0 if at_a_time is None else at_a_time  # clients who could ask now
        self._stamps: list[list[float]] = [[] for _ in asked]
        self._complete = bytearray(len(asked))
        self.preemptions = 0

    def take(self, now: float) -> list[Letter]:
        letters: list[Letter] = []
        while self._coming and self._may_ask(now):
            number = self._coming.popleft()
            if not self._open_loop:
                self._free -= 1
                self._asked[number] = self._asked[number]._replace(at_s=now)
            letters.append(request(number, self._asked[number]))
        return letters

    def _may_ask(self, now: float) -> bool:
        return self._asked[self._coming[0]].at_s <= now if self._open_loop else self._free > 0

    def wait(self, until: float | None) -> bool:
        if self._coming and self._may_ask(self._clock.now()):
            return True
        next_s = self._asked[self._coming[0]].at_s if self._open_loop and self._coming else None
        times = [t for t in (next_s, self._executor.next_done_s, until) if t is not None]
        if times:
            self._clock.move_to(min(times))
        return bool(times)

    def publish(self, now: float, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Token):
                self._stamps[event.request_id].append(event.at_s)
            elif isinstance(event, Stepped):
                self.preemptions += event.preemptions
            elif isinstance(event, Finished | Refused):
                self._free += 1
                if isinstance(event, Finished):
                    self._complete[event.request_id] = event.reason in (Reason.STOP, Reason.LENGTH)

    def answers(self) -> list[Answer]:
        each = zip(self._asked, self._stamps, self._complete, strict=True)
        return [Answer(a.service_class, a.at_s, s, bool(c), a.tokens) for a, s, c in each]


def ask_all(
    clock: VirtualClock,
    executor: SimExecutor,
    scheduler: Scheduler,
    asked: Sequence[Arrival],
    at_a_time: int | None,
) -> Clients:
    """Until everyone has been answered."""
    clients = Clients(clock, executor, asked, at_a_time)
    Engine(clock, clients, executor, clients, scheduler).run()
    return clients

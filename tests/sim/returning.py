"""Clients that obey: who is refused comes again after as long as it was told, and says so.

A machine whose step takes 10 ms and 0.2 ms a token; requests of one class, some 400 tokens in and 20 out.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from random import Random

from headway.bench.report import Answer, meets
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import paged
from headway.core.policies import Adaptive
from headway.core.scheduler import Scheduler
from headway.core.slo import Overload, ServiceClass
from headway.core.types import Accepted, Finished, Refused, Request, Sampling, Token
from headway.sim.executor import LinearCost, SimExecutor

CLASS = ServiceClass(name="chat", ttft_p95_s=1.0, itl_p95_s=0.1, on_overload=Overload.REFUSE, max_wait_s=3.0)
LIMITS = Limits(64, 2048, 10_000, 16, 4000, 4096, prefix_cache=False)
MACHINE = LinearCost(0.01, 0.0002)
capacity = 9.0  # requests a second, of which 95 % are in time
most_tries = 5


@dataclass
class Ask:
    """One try of a client."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    client: int  # its prompt is its own
    retries: int = 0
    stamps: list[float] = field(default_factory=list)
    refused: Refused | None = None
    accepted: bool = False
    ended: Finished | None = None

    @property
    def good(self) -> bool:
        answer = Answer("chat", self.at_s, self.stamps, self.ended is not None, 0)
        return bool(self.stamps) and meets(answer, CLASS.targets)


class Clients:
    """The inbox and the sink of an engine: asks at `rate(seconds)` a second until `until_s`, then as told."""

    def __init__(
        self, clock: VirtualClock, rate: Callable[[float], float], seed: int, until_s: float
    ) -> None:
        random, at_s = Random(seed), 0.0
        self.asks: list[Ask] = []
        while (at_s := at_s + random.expovariate(rate(at_s))) < until_s:
            self.asks.append(Ask(at_s, random.randint(100, 700), random.randint(5, 35), len(self.asks)))
        self._clock, self._until_s = clock, until_s
        self._due = [(ask.at_s, id) for id, ask in enumerate(self.asks)]
        heapify(self._due)
        self.executor: SimExecutor | None = None

    def take(self, now: float) -> list[Request]:
        due = []
        while self._due and self._due[0][0] <= now:
            id = heappop(self._due)[1]
            ask = self.asks[id]
            sampling = Sampling(max_tokens=ask.output_tokens, seed=id)
            prompt = array("i", [ask.client] * ask.prompt_tokens)
            due.append(Request(id, prompt, sampling, ask.at_s, service_class="chat"))
        return due

    def wait(self, until: float | None) -> bool:
        assert self.executor is not None
        next_s = self._due[0][0] if self._due else None
        times = [t for t in (next_s, self.executor.next_done_s, until) if t is not None]
        if times:
            self._clock.move_to(min(times))
        return bool(times)

    def publish(self, now: float, events) -> None:
        for event in events:
            if isinstance(event, Token):
                self.asks[event.request_id].stamps.append(event.at_s)
            elif isinstance(event, Finished):
                self.asks[event.request_id].ended = event
            elif isinstance(event, Accepted):
                self.asks[event.request_id].accepted = True
            elif isinstance(event, Refused):
                self._refuse(self.asks[event.request_id], event, now)

    def _refuse(self, ask: Ask, event: Refused, now: float) -> None:
        ask.refused = event
        assert event.retry_after_s is not None
        again_s = now + event.retry_after_s
        if ask.retries < most_tries and again_s < self._until_s:
            heappush(self._due, (again_s, len(self.asks)))
            again = Ask(again_s, ask.prompt_tokens, ask.output_tokens, ask.client, ask.retries + 1)
            self.asks.append(again)


def run(rate: Callable[[float], float], seed: int, until_s: float) -> list[Ask]:
    clock, script = VirtualClock(), lambda id, index: 5
    clients = Clients(clock, rate, seed, until_s)
    clients.executor = SimExecutor(clock, script, cost=MACHINE)
    scheduler = Scheduler(LIMITS, Adaptive(), paged, classes={"chat": CLASS})
    engine = Engine(clock, clients, clients.executor, clients, scheduler)
    while engine.turn():
        pass
    return clients.asks


def goodput(asks: list[Ask], from_s: float, until_s: float) -> float:
    """Requests a second that came within the time and met their targets."""
    return sum(ask.good for ask in asks if from_s <= ask.at_s < until_s) / (until_s - from_s)

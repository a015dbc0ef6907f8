"""Put a virtual world together and run it to its end."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import MemoryRule
from headway.core.policies import Policy
from headway.core.ports import Executor
from headway.core.scheduler import Scheduler
from headway.core.slo import BUILT_IN, ServiceClass
from headway.core.types import Batch, Event, Letter, Result
from headway.sim.executor import SimExecutor
from headway.sim.inbox import VirtualInbox


class EventLog:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, now: float, events: Sequence[Event]) -> None:
        self.events += events


class DecisionLog:
    """An executor around another that keeps every batch and result: what was decided, what came of it."""

    def __init__(self, executor: Executor) -> None:
        self.depth = executor.depth
        self.exclusive = executor.exclusive
        self.batches: list[Batch] = []
        self.results: list[Result] = []
        self._executor = executor

    def submit(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._executor.submit(batch)

    def collect(self) -> Result | None:
        result = self._executor.collect()
        if result is not None:
            self.results.append(result)
        return result

    def digest(self) -> str:
        """A name for the decisions: equal if and only if the batches are, in any process."""
        return sha256(repr(self.batches).encode()).hexdigest()


class World(NamedTuple):
    engine: Engine
    clock: VirtualClock
    trace: DecisionLog
    log: EventLog


def make_world(
    letters: Iterable[tuple[float, Letter]],
    limits: Limits,
    policy: Policy,
    memory: MemoryRule,
    clock: VirtualClock,
    executor: SimExecutor,
    classes: Mapping[str, ServiceClass] = BUILT_IN,
) -> World:
    """An engine whose arrivals are `letters` and whose device is `executor`, both on `clock`."""
    trace, log = DecisionLog(executor), EventLog()
    scheduler = Scheduler(limits, policy, memory, classes=classes, exclusive=executor.exclusive)
    engine = Engine(clock, VirtualInbox(clock, executor, letters), trace, log, scheduler)
    return World(engine, clock, trace, log)

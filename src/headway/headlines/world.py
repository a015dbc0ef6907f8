"""The engine on a deployment, answers ending at the lengths that were drawn.

Everything else is the caller's: which arrivals, which policy and limits, and a sink that watches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headway.bench.workload import Arrival, request
from headway.clock import VirtualClock
from headway.core.engine import Engine
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES
from headway.core.ports import Sink
from headway.core.scheduler import Scheduler
from headway.core.types import Batch, Joined
from headway.sim.deployment import Deployment
from headway.sim.executor import Cost
from headway.sim.inbox import VirtualInbox
from headway.sim.scripted import LengthsExecutor

block_size = 16
endless = 1 << 30  # requests that may queue


@dataclass(frozen=True, slots=True)
class System:
    """A model on devices under a scheduler."""

    deployment: Deployment
    policy: str
    max_seqs: int
    step_tokens: int
    max_model_len: int
    memory: str = "paged"
    padded: bool = False  # a batch's rows are all as long as its longest, and stay until its end

    @property
    def limits(self) -> Limits:
        """Raises DoesNotFit with the numbers."""
        blocks = self.deployment.kv_blocks(block_size)
        return Limits(
            self.max_seqs, self.step_tokens, endless, block_size, blocks, self.max_model_len,
            prefix_cache=False,
        )  # fmt: skip


class World(NamedTuple):
    engine: Engine
    clock: VirtualClock


def make_engine(
    system: System,
    arrivals: Sequence[Arrival],
    sink: Sink,
    *,
    begun: Callable[[int, float], None] | None = None,
    seen: Callable[[Batch], None] | None = None,
) -> World:
    """`begun` hears a request's number and when its first step starts, again if it was pre-empted; `seen`
    every batch.
    """
    clock = VirtualClock()
    executor = WatchedExecutor(clock, system, arrivals, begun, seen)
    inbox = VirtualInbox(clock, executor, ((a.at_s, request(id, a)) for id, a in enumerate(arrivals)))
    scheduler = Scheduler(
        system.limits, POLICIES[system.policy](), MEMORY_RULES[system.memory], exclusive=executor.exclusive
    )
    return World(Engine(clock, inbox, executor, sink, scheduler), clock)


class WatchedExecutor(LengthsExecutor):
    """Tells of every batch, and of requests that begin."""

    def __init__(
        self,
        clock: VirtualClock,
        system: System,
        arrivals: Sequence[Arrival],
        begun: Callable[[int, float], None] | None,
        seen: Callable[[Batch], None] | None,
    ) -> None:
        of = system.deployment
        cost = Padded(of.cost()) if system.padded else of.cost()
        super().__init__(clock, cost, arrivals, depth=of.depth, exclusive=of.pp > 1, stages=of.pp)
        self._begun, self._seen = begun, seen

    def submit(self, batch: Batch) -> None:
        super().submit(batch)
        if self._begun is not None:
            for joined in batch.joined:
                self._begun(_number(joined), self._results[-1].start_s)
        if self._seen is not None:
            self._seen(batch)


def _number(joined: Joined) -> int:
    assert joined.sampling.seed is not None
    return joined.sampling.seed


class Padded:
    """What a batch costs where every row is computed as if it were the longest, and none leaves early."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._rows = 0

    def __call__(self, batch: Batch) -> float:
        longest = max(batch.slices, key=lambda slice: slice.start + slice.count)
        if batch.joined:
            self._rows = len(batch.slices)
        return self._cost(batch._replace(slices=(longest,) * self._rows))

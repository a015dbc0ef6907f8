"""An executor on its own clock, whose every step takes what a formula says, unless somebody disturbs it."""

from headway.bench.calibrate import World
from headway.bench.drive import Driver
from headway.clock import VirtualClock
from headway.core.types import Batch, Result
from headway.profile.cost import Factors, cost_of
from headway.sim.executor import SimExecutor

empty_s = 1e-4  # of a batch that computes nothing


class ExactMachine:
    """`disturbed`: (from, to, times as long); others have a core meanwhile if `seen`."""

    def __init__(
        self, factors: Factors, disturbed: tuple[float, float, float] = (0.0, 0.0, 1.0), *, seen: bool = True
    ) -> None:
        self.clock = VirtualClock()
        self.batches: list[Batch] = []
        self._formula = cost_of(factors)
        self._from_s, self._to_s, self._slower = disturbed
        self._seen = seen
        self._executor = SimExecutor(self.clock, lambda id, index: 0, cost=self._cost)
        self.world = World(self.clock.now, self._others_s)

    def driver(self, blocks: int = 4000) -> Driver:
        return Driver(self.step, blocks, block_size=16, vocab=100)

    def step(self, batch: Batch) -> Result:
        self.batches.append(batch)
        self._executor.submit(batch)
        assert self._executor.next_done_s is not None
        self.clock.move_to(self._executor.next_done_s)
        result = self._executor.collect()
        assert result is not None
        return result

    def _cost(self, batch: Batch) -> float:
        slower = self._slower if self._from_s <= self.clock.now() < self._to_s else 1.0
        return slower * self._formula(batch.slices) if batch.slices else empty_s

    def _others_s(self) -> float | None:
        if not self._seen:
            return None
        return max(0.0, min(self.clock.now(), self._to_s) - self._from_s)

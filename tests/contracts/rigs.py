"""Each executor with what a test needs to let its steps end one at a time."""

from functools import partial
from threading import Semaphore
from typing import Protocol

from headway.clock import VirtualClock
from headway.core.ports import Executor
from headway.core.types import Batch, Slice
from headway.executors.local import LocalExecutor
from headway.executors.runner import Runner
from headway.sim.executor import SimExecutor
from tests.executors.hashing_model import DEADLY, POISON, HashingModel, make_cache

DEPTH = 3
PATIENCE_S = 20.0
BROKEN = POISON  # the id of a sequence that every rig makes fail, given that its tokens are its id
FATAL = DEADLY  # likewise one whose step every rig's executor dies of


class Rig(Protocol):
    executor: Executor
    exclusive: bool  # what its executor is known to be

    def finish(self) -> None:
        """Let the oldest batch that has not been collected end, or kill; that can be collected on return."""
        ...

    def close(self) -> None: ...


class LocalRig:
    """The thread's model waits at a gate, so a step ends when the test says."""

    exclusive = False

    def __init__(self) -> None:
        self._gate, self._done = Semaphore(0), Semaphore(0)
        runner = Runner(_GatedModel(self._gate), make_cache())
        self.executor = LocalExecutor(runner, self._done.release, depth=DEPTH)

    def finish(self) -> None:
        self._gate.release()
        assert self._done.acquire(timeout=PATIENCE_S), "the executor told of nothing"

    def close(self) -> None:
        self._gate.release(100)
        self.executor.close()


class _GatedModel(HashingModel):
    def __init__(self, gate: Semaphore) -> None:
        super().__init__()
        self._gate = gate

    def forward(self, inputs, kv):
        assert self._gate.acquire(timeout=PATIENCE_S)
        return super().forward(inputs, kv)


class SimulatedRig:
    """A step ends when the clock has been moved to its end."""

    def __init__(self, exclusive: bool) -> None:
        self.exclusive = exclusive
        self._clock = VirtualClock()
        self.executor = SimExecutor(
            self._clock, _script, fault=_fault, death=_death, depth=DEPTH, exclusive=exclusive
        )

    def finish(self) -> None:
        end_s = self.executor.next_done_s
        assert end_s is not None
        self._clock.move_to(end_s)

    def close(self) -> None:
        pass


def _script(id: int, index: int) -> int:
    return 20 + (id + index) % 10


def _fault(slice: Slice) -> str | None:
    return "broken" if slice.id == BROKEN else None


def _death(batch: Batch) -> str | None:
    return "dead" if any(slice.id == FATAL for slice in batch.slices) else None


RIGS = {
    "local": LocalRig,
    "simulated": partial(SimulatedRig, exclusive=False),
    "simulated pipeline": partial(SimulatedRig, exclusive=True),
}

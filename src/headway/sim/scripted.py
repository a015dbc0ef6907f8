"""Executors that end each answer at the length that was drawn for it, with the stop id.

Sequences are known by the seed of their sampling, which is the request's id.
"""

from collections.abc import Sequence

from headway.bench.workload import Arrival, stop_id
from headway.clock import VirtualClock
from headway.core.types import Batch, Outcome
from headway.sim.executor import Cost, Death, SimExecutor, no_death

filler = 0  # every token but the last


class LengthsExecutor(SimExecutor):
    """The quick one: holds where each sequence ends and no token, and has one outcome per sequence for all of
    its tokens but the last. A step of 100 sequences takes 7 us; `ScriptedExecutor`, the plain one, takes 85.
    """

    def __init__(
        self,
        clock: VirtualClock,
        cost: Cost,
        arrivals: Sequence[Arrival],
        *,
        death: Death = no_death,
        depth: int = 1,
        exclusive: bool = False,
        stages: int = 1,
    ) -> None:
        super().__init__(
            clock, self._token, cost=cost, death=death, depth=depth, exclusive=exclusive, stages=stages
        )
        self._arrivals = arrivals
        self._ends: dict[int, int] = {}  # by sequence id: the index of its stop id
        self._goes_on: dict[int, Outcome] = {}

    def _outcomes(self, batch: Batch) -> list[Outcome]:
        self._enter_and_leave(batch)
        ends, goes_on, last = self._ends, self._goes_on, self._last
        return [
            goes_on[id] if samples and start + count != ends[id] else last(id, samples)
            for id, start, count, samples in batch.slices
        ]

    def _enter_and_leave(self, batch: Batch) -> None:
        for id in batch.gone:
            del self._ends[id], self._goes_on[id]
        for joined in batch.joined:
            assert joined.id not in self._ends, f"sequence {joined.id} joins twice"
            assert joined.sampling.seed is not None
            drawn = self._arrivals[joined.sampling.seed].output_tokens
            self._ends[joined.id] = joined.prompt_tokens + drawn - 1
            self._goes_on[joined.id] = Outcome(joined.id, (filler,))

    def _last(self, id: int, samples: bool) -> Outcome:
        """A chunk's, which gives nothing, or an answer's last."""
        return Outcome(id, (stop_id,) if samples else ())

    def _token(self, id: int, index: int) -> int:
        return stop_id if index == self._ends[id] else filler


class ScriptedExecutor(LengthsExecutor):
    """The plain one: it holds every token as a real executor would, and checks every slice against them."""

    def _outcomes(self, batch: Batch) -> list[Outcome]:
        self._enter_and_leave(batch)
        return SimExecutor._outcomes(self, batch)

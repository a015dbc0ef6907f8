"""An executor that computes nothing: steps take as long as a cost says, tokens come from a script.

Passes the same contract suite as the executors that run a model. Batches run one after another through the
stages of a pipeline, usually one; up to `depth` may be in flight. Time is the virtual clock's, which the
inbox moves.
"""

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from headway.clock import VirtualClock
from headway.core.ports import ExecutorDied
from headway.core.types import Batch, Outcome, Result, Slice

# (sequence id, index of the token in the sequence) -> token
Script = Callable[[int, int], int]
# a batch -> seconds
Cost = Callable[[Batch], float]
# a slice -> what went wrong with its sequence, or None
Fault = Callable[[Slice], str | None]
# a batch -> what the executor dies of in its step, or None
Death = Callable[[Batch], str | None]


@dataclass(frozen=True, slots=True)
class LinearCost:
    """The simplest machine: a step costs something, and so does each of its tokens."""

    step_s: float = 0.01
    token_s: float = 0.001

    def __call__(self, batch: Batch) -> float:
        return self.step_s + self.token_s * sum(slice.count for slice in batch.slices)


def no_fault(slice: Slice) -> str | None:
    return None


def no_death(batch: Batch) -> str | None:
    return None


class SimExecutor:
    def __init__(
        self,
        clock: VirtualClock,
        script: Script,
        *,
        cost: Cost = LinearCost(),
        fault: Fault = no_fault,
        death: Death = no_death,
        depth: int = 1,
        exclusive: bool = False,
        stages: int = 1,  # each holds a batch for `cost`
    ) -> None:
        self.depth = depth
        self.exclusive = exclusive
        self._clock = clock
        self._script = script
        self._cost = cost
        self._fault = fault
        self._death = death
        self._known: dict[int, array[int]] = {}  # by sequence id: what a real executor would hold
        self._failed: dict[int, str] = {}  # a sequence that failed fails again until it is gone
        self._results: deque[Result] = deque()
        self._stages_free_s = [0.0] * stages
        self._busy_until_s = 0.0
        self._cause: str | None = None  # what it died of; `_busy_until_s` says when

    @property
    def next_done_s(self) -> float | None:
        """When `collect` next has something to say; None with nothing in flight."""
        if self._results:
            return self._results[0].end_s
        return None if self._cause is None else self._busy_until_s

    def submit(self, batch: Batch) -> None:
        assert len(self._results) < self.depth, "more batches in flight than depth allows"
        if self._cause is not None:
            return
        start_s = self._pass_through(self._cost(batch))
        self._cause = self._death(batch)
        if self._cause is not None:
            return
        self._results.append(Result(batch.id, self._outcomes(batch), start_s, self._busy_until_s))

    def _pass_through(self, stage_s: float) -> float:
        """Occupy the stages in turn, each as soon as the batch and the stage are there; when the first began.

        A small batch behind a large one waits at every stage: a pipeline's bubbles.
        """
        at_s = self._clock.now()
        start_s = max(at_s, self._stages_free_s[0])
        for stage, free_s in enumerate(self._stages_free_s):
            at_s = max(at_s, free_s) + stage_s
            self._stages_free_s[stage] = at_s
        self._busy_until_s = at_s
        return start_s

    def _outcomes(self, batch: Batch) -> list[Outcome]:
        for id in batch.gone:
            del self._known[id]
            self._failed.pop(id, None)
        for joined in batch.joined:
            assert joined.id not in self._known, f"sequence {joined.id} joins twice"
            self._known[joined.id] = joined.tokens[:]
        return [self._run(slice) for slice in batch.slices]

    def _run(self, slice: Slice) -> Outcome:
        failure = self._failed.get(slice.id) or self._fault(slice)
        if failure is not None:
            self._failed[slice.id] = failure
            return Outcome(slice.id, failure=failure)
        known = self._known[slice.id]
        assert slice.start + slice.count <= len(known), "a token is computed that nobody knows"
        assert slice.samples == (slice.start + slice.count == len(known)), "`samples` is off the last token"
        if not slice.samples:
            return Outcome(slice.id)
        token = self._script(slice.id, len(known))
        known.append(token)
        return Outcome(slice.id, (token,))

    def collect(self) -> Result | None:
        """The oldest batch's result if it is done. What was done before its death can still be collected."""
        due_s = self.next_done_s
        if due_s is None or due_s > self._clock.now():
            return None
        if not self._results:
            raise ExecutorDied(self._cause)
        return self._results.popleft()

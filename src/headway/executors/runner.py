"""One step, from a batch to its outcomes, on the calling thread.

Owns what is held by sequence id, and that one sequence's failure stays its own. Knows no thread and no clock.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headway.core.types import Batch, Logprob, Outcome
from headway.executors.held import Held
from headway.executors.inputs import Scored, prepare
from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.ranking import score
from headway.model.sampler import Sampled, sample


class Model(Protocol):
    """What a step needs of a decoder."""

    def forward(self, inputs: StepInputs, kv: KVCache) -> Tensor:
        """Hidden states [R, hidden] of the wanted rows, of which there may be none."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [R, vocab], the caller's to overwrite."""
        ...


class Runner:
    """`slab_rows`: of logits at a time, so that a long prompt's scores never take prompt x vocabulary."""

    def __init__(self, model: Model, kv: KVCache, slab_rows: int = 128) -> None:
        self._model = model
        self._kv = kv
        self._slab_rows = slab_rows
        self._held: dict[int, Held] = {}

    def step(self, batch: Batch) -> list[Outcome]:
        """Apply the batch's changes and compute its slices. Outcomes are in the order of the slices.

        A token that is sampled is held at once, so the next batch may compute it before anyone has seen it.
        """
        self._apply(batch)
        held = self._held
        live = [slice for slice in batch.slices if held[slice.id].failure is None]
        sampled: dict[int, Sampled] = {}
        scores: dict[int, tuple[Logprob, ...]] = {}
        if live:
            step = prepare(live, held, self._kv.block_size)
            hidden = self._model.forward(step.inputs, self._kv)
            sampled = self._sample(hidden[: len(step.sampled)], step.sampled)
            scores = self._score(hidden[len(step.sampled) :], step.scored)
        return [_outcome(held[s.id], sampled.get(s.id), scores.get(s.id, ())) for s in batch.slices]

    def _apply(self, batch: Batch) -> None:
        for id in batch.gone:
            del self._held[id]
        for joined in batch.joined:
            assert joined.id not in self._held, f"sequence {joined.id} is here already"
            self._held[joined.id] = Held(joined)
        for grown in batch.grown:
            self._held[grown.id].grow(grown)

    def _sample(self, hidden: Tensor, sequences: list[Held]) -> dict[int, Sampled]:
        """The next token of each sequence, by id; one whose logits are no good is marked instead."""
        sampled = {}
        for first, logits in self._slabs(hidden):
            slab = sequences[first : first + len(logits)]
            for held, drawn in zip(slab, sample(logits, [h.sampler for h in slab]), strict=True):
                if isinstance(drawn, Sampled):
                    held.append(drawn.token)
                    sampled[held.id] = drawn
                else:
                    held.failure = drawn.message
        return sampled

    def _score(self, hidden: Tensor, scored: list[Scored]) -> dict[int, tuple[Logprob, ...]]:
        """Log-probabilities of prompt tokens, by id; one whose logits are no good is marked instead."""
        rows = (row for _, slab in self._slabs(hidden) for row in slab)
        scores = {}
        for held, first, count in ((s.held, s.first, s.count) for s in scored):
            alternatives = held.sampler.sampling.prompt_logprobs or 0
            tokens = held.tokens[first : first + count].tolist()
            found = [score(next(rows), token, alternatives) for token in tokens]
            scores[held.id] = tuple(one for one in found if one is not None)
            if len(scores[held.id]) < count:
                held.failure = "the model's logits are not finite"
        return scores

    def _slabs(self, hidden: Tensor) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Logits [<= slab_rows, vocab] of hidden states, slab after slab, each with its first row's index."""
        for first in range(0, len(hidden), self._slab_rows):
            yield first, self._model.logits(hidden[first : first + self._slab_rows]).numpy()


def _outcome(held: Held, sampled: Sampled | None, scores: tuple[Logprob, ...]) -> Outcome:
    if held.failure is not None:
        return Outcome(held.id, failure=held.failure)
    if sampled is None:
        return Outcome(held.id, prompt_logprobs=scores)
    logprobs = () if sampled.logprob is None else (sampled.logprob,)
    return Outcome(held.id, (sampled.token,), logprobs, scores)

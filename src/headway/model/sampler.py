"""From logits to tokens: each row by its own sequence's rules, and by nothing else in the batch.

Owns the order in which logits are processed and how a token is drawn. Knows no batches and no cache.

    raw logits -> logit bias -> penalties -> minimum length -> temperature -> min-p, top-k, top-p -> draw

One uniform number per token comes from a generator keyed by (seed, choice, position), and the token is the
inverse of the cumulative distribution in token-id order. So a token depends on its logits and its sequence
alone, and one that is computed again, elsewhere or later, is drawn the same. Each row is drawn by itself: it
stays in the processor's cache, and cannot touch another.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headway.core.types import Logprob, Sampling
from headway.model.penalties import TokenCounts
from headway.model.philox import uniforms
from headway.model.ranking import Row, leading, score

LEAST_TEMPERATURE = 1e-5  # below it the likeliest token is as good as certain: greedy
NUCLEUS_GUESS = 128  # tokens that nearly every nucleus is smaller than
CDF_BLOCK = 256


class Sampled(NamedTuple):
    token: int
    logprob: Logprob | None  # where asked for, of the raw logits: what the model said before any processing


class Failure(NamedTuple):
    message: str


class SequenceSampler:
    """What one sequence's next token depends on beside the logits. `tokens`: all known, the prompt first."""

    def __init__(
        self, sampling: Sampling, choice: int, tokens: NDArray[np.int32], prompt_tokens: int
    ) -> None:
        self.sampling = sampling
        self.choice = choice
        self.position = len(tokens) - prompt_tokens  # of the next token, in the output
        self.greedy = sampling.temperature < LEAST_TEMPERATURE
        assert self.greedy or sampling.seed is not None, "the door gives every request a seed"
        self.seed = sampling.seed or 0
        self._counts = None
        if _has_penalty(sampling):
            self._counts = TokenCounts(tokens[:prompt_tokens], tokens[prompt_tokens:])
        self._bias_ids = np.array([id for id, _ in sampling.logit_bias], dtype=np.int64)
        self._bias = np.array([bias for _, bias in sampling.logit_bias], dtype=np.float32)
        self._stop_ids = np.array(sampling.stop_ids, dtype=np.int64)

    @property
    def edits(self) -> bool:
        """Whether the next token's logits are changed at all before the temperature."""
        return self._counts is not None or len(self._bias) > 0 or self.position < self.sampling.min_tokens

    def edit(self, row: Row) -> None:
        """Apply logit bias, penalties and minimum length to a row of logits in place."""
        row[self._bias_ids] += self._bias
        if self._counts is not None:
            self._counts.penalize(row, self.sampling)
        if self.position < self.sampling.min_tokens:
            row[self._stop_ids] = -np.inf

    def append(self, token: int) -> None:
        """The output grew by this token."""
        self.position += 1
        if self._counts is not None:
            self._counts.add(token)


def _has_penalty(sampling: Sampling) -> bool:
    return bool(sampling.repetition_penalty != 1.0 or sampling.frequency_penalty or sampling.presence_penalty)


def sample(logits: NDArray[np.float32], sequences: Sequence[SequenceSampler]) -> list[Sampled | Failure]:
    """The next token of each sequence, from its row of `logits` [R, V]. The logits are overwritten.

    A row with a NaN or +inf, with no finite logit, or with no token left, is a Failure.
    Nobody's `append` is called.
    """
    best = logits.argmax(axis=1).tolist()  # a NaN counts as the largest
    drawn = np.zeros(len(sequences))
    if not all(sequence.greedy for sequence in sequences):
        drawn = uniforms(
            [s.seed for s in sequences], [s.choice for s in sequences], [s.position for s in sequences]
        )
    return [_sample_row(*each) for each in zip(logits, best, sequences, drawn.tolist(), strict=True)]


def _sample_row(row: Row, best: int, sequence: SequenceSampler, uniform: float) -> Sampled | Failure:
    if not math.isfinite(row[best]):
        return Failure("the model's logits are not finite")
    alternatives = sequence.sampling.logprobs
    raw = None if alternatives is None else row.copy()
    if sequence.edits:
        sequence.edit(row)
        best = int(row.argmax())
        if not math.isfinite(row[best]):
            return Failure("after penalties and logit bias no token is left to sample")
    token = best if sequence.greedy else _draw(row, sequence.sampling, uniform)
    if raw is None or alternatives is None:
        return Sampled(token, None)
    logprob = score(raw, token, alternatives)
    return Failure("the model's logits are not finite") if logprob is None else Sampled(token, logprob)


def _draw(row: Row, sampling: Sampling, uniform: float) -> int:
    ids, weights = candidates(row, sampling)
    i = inverse_cdf(weights, uniform)
    return i if ids is None else int(ids[i])


def candidates(row: Row, sampling: Sampling) -> tuple[NDArray[np.int64] | None, Row]:
    """Token ids that may be drawn, ascending (None: all), and their weights, the likeliest one's being 1.

    Each of the three cuts is a floor, so tokens tied at a border are in together: min-p on the ratio to the
    likeliest; top-k on the logits; then top-p on the weights that are left, the fewest that hold its share.
    """
    best, floor = float(row.max()), -math.inf
    if sampling.min_p > 0:
        floor = best + sampling.temperature * math.log(sampling.min_p)
    if 0 < sampling.top_k < len(row):
        floor = max(floor, float(leading(row, sampling.top_k)[sampling.top_k - 1]))
    ids = None
    if floor > -math.inf:
        ids = np.flatnonzero(row >= floor)
        row = row[ids]
    weights = (row - best) / np.float32(sampling.temperature)
    np.exp(weights, out=weights)
    if sampling.top_p < 1:
        kept = np.flatnonzero(weights >= nucleus_floor(weights, sampling.top_p))
        ids, weights = kept if ids is None else ids[kept], weights[kept]
    return ids, weights


def nucleus_floor(weights: Row, top_p: float) -> float:
    """The least weight of the fewest, heaviest tokens that hold `top_p` of the total (arXiv 1904.09751)."""
    goal = top_p * float(weights.sum(dtype=np.float64))
    heaviest = leading(weights, NUCLEUS_GUESS)
    held = heaviest.cumsum(dtype=np.float64)
    if held[-1] >= goal:
        return float(heaviest[held.searchsorted(goal)])
    return _wide_nucleus_floor(weights, top_p)


def _wide_nucleus_floor(weights: Row, top_p: float) -> float:
    """The same by buckets, of which only the one that the border falls into is sorted.

    Positive floats are in the order of their bits, and without the lowest 18 these make 32 buckets an octave.
    A nucleus of 20,000 of 49,152 tokens: 0.3 milliseconds, beside 1 to 3 for sorting its candidates.
    """
    buckets = weights.view(np.int32) >> 18
    held = np.bincount(buckets, weights)[::-1].cumsum()  # from the heaviest bucket down
    goal = top_p * held[-1]
    border = int(held.searchsorted(goal))
    inside = np.sort(weights[buckets == len(held) - 1 - border])[::-1]
    before = held[border - 1] if border else 0.0
    i = int((before + inside.cumsum(dtype=np.float64)).searchsorted(goal))
    return float(inside[min(i, len(inside) - 1)])  # the last one at the latest, but for rounding


def inverse_cdf(weights: Row, uniform: float) -> int:
    """The first index at which the running sum of `weights` exceeds uniform * total; its weight is not 0.

    The running sum over blocks finds the block, the one inside it the index: 25 microseconds for 49,152
    weights, beside 180 for one running sum.
    """
    ends = np.add.reduceat(weights, np.arange(0, len(weights), CDF_BLOCK), dtype=np.float64).cumsum()
    goal = uniform * ends[-1]
    block = int(ends.searchsorted(goal, side="right"))
    inside = weights[block * CDF_BLOCK : (block + 1) * CDF_BLOCK]
    before = ends[block - 1] if block else 0.0
    i = int((before + inside.cumsum(dtype=np.float64)).searchsorted(goal, side="right"))
    if i == len(inside):  # the two sums were rounded apart
        i = int(np.flatnonzero(inside)[-1])
    return block * CDF_BLOCK + i

"""A batch's slices and what is held of their sequences -> the arrays that one decoder step reads.

Owns which rows of hidden states a step must give. Knows no weights and no sampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from headway.core.types import Slice
from headway.executors.held import Held
from headway.model.inputs import SequenceInputs, StepInputs

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows of hidden states that say how likely the prompt's tokens [first, first + count) were."""

    held: Held
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """One decoder step. `inputs.rows` are one row of each of `sampled`, in order, then those of `scored`."""

    inputs: StepInputs
    sampled: list[Held]
    scored: list[Scored]


def prepare(slices: Sequence[Slice], held: dict[int, Held], block_size: int) -> Prepared:
    """One step of all `slices`, at least one, flattened in their order."""
    ours = [held[slice.id] for slice in slices]
    starts = np.array([slice.start for slice in slices])
    counts = np.array([slice.count for slice in slices])
    first_rows = counts.cumsum() - counts
    positions = np.arange(counts.sum()) - (first_rows - starts).repeat(counts)
    tokens = np.concatenate(
        [h.tokens[s.start : s.start + s.count] for h, s in zip(ours, slices, strict=True)]
    )
    assert len(tokens) == len(positions), "a slice covers a token that is not known"
    sampled, rows, scored = _wanted(slices, ours, first_rows.tolist())
    sequences = [
        SequenceInputs(first_row, slice.count, slice.start, h.table_tensor)
        for first_row, slice, h in zip(first_rows.tolist(), slices, ours, strict=True)
    ]
    inputs = StepInputs(
        tokens=torch.from_numpy(tokens.astype(np.int64)),
        positions=torch.from_numpy(positions),
        slots=torch.from_numpy(_slots(ours, positions, counts, block_size)),
        rows=torch.from_numpy(rows),
        sequences=sequences,
    )
    return Prepared(inputs, sampled, scored)


def _slots(ours: list[Held], positions: IntArray, counts: IntArray, block_size: int) -> IntArray:
    """Where each row's K and V go. Its block is looked up in all tables laid end to end."""
    lengths = np.array([len(h.table) for h in ours])
    first_blocks = lengths.cumsum() - lengths
    blocks = np.concatenate([h.table for h in ours])[first_blocks.repeat(counts) + positions // block_size]
    slots: IntArray = blocks * block_size + positions % block_size
    return slots


def _wanted(
    slices: Sequence[Slice], ours: list[Held], first_rows: list[int]
) -> tuple[list[Held], IntArray, list[Scored]]:
    """Who is sampled, the rows that are wanted, and which prompt tokens they score.

    The row of a token speaks of the one after it, so a chunk's last row scores a token of the next chunk, and
    the prompt's first token has no score.
    """
    sampled: list[Held] = []
    rows: list[int] = []
    scored: list[Scored] = []
    scoring: list[int] = []
    for slice, held, first_row in zip(slices, ours, first_rows, strict=True):
        if slice.samples:
            sampled.append(held)
            rows.append(first_row + slice.count - 1)
        if held.sampler.sampling.prompt_logprobs is not None:
            count = min(slice.start + slice.count, held.prompt_tokens - 1) - slice.start
            if count > 0:
                scored.append(Scored(held, slice.start + 1, count))
                scoring += range(first_row, first_row + count)
    return sampled, np.array(rows + scoring, dtype=np.int64), scored

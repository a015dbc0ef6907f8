"""What one step of the decoder is given: tokens of many sequences, flattened, and where their K/V live.

Owns the shapes only. Knows no requests, no sampling, no scheduler: whoever holds the block tables builds it.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class SequenceInputs:
    """One sequence's slice of a step: rows [first_row, first_row + count) are its tokens from `start` on.

    Positions [0, start) are in the cache already; the step writes [start, start + count) before it reads.
    """

    first_row: int
    count: int  # at least 1
    start: int
    table: Tensor  # int64 [blocks], at least enough of them for start + count tokens


@dataclass(frozen=True, slots=True)
class StepInputs:
    """T tokens of all the step's sequences, in the order of `sequences`, which cover every row."""

    tokens: Tensor  # int64 [T]
    positions: Tensor  # int64 [T]
    slots: Tensor  # int64 [T]: block * block_size + offset, where the token's K and V go; no two alike
    rows: Tensor  # int64 [R]: the rows whose hidden states are wanted, ascending or not
    sequences: list[SequenceInputs]

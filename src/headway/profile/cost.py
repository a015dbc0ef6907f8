"""The formula of a step's time whose factors a profile carries, in one place for who fits it and who asks it.

    base, the first token in it, + straight pieces in further tokens
    + head, if anything is sampled, its first row in it, + straight pieces in further rows
    + sequences + chunks + keys that single tokens read + (query, key) pairs of chunks + keys that chunks read

It counts what a model does, not what it is: the factors hold for one model on one machine. Standard library
only: the simulator asks it for every step.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from headway.core.types import Slice

TOKEN_KNOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
ROW_KNOTS = (1, 8)

Piece = tuple[float, float, float]
"""Of a straight piece: the seconds at its start, its start, seconds for each beyond."""


class Work(NamedTuple):
    """What of a step decides its time."""

    tokens: int
    rows: int  # sampled
    sequences: int
    chunks: int  # slices with several tokens
    context: int  # keys that slices of one token read
    pairs: int  # (query, key) of chunks
    chunk_context: int  # keys that chunks read, once each


class Factors(NamedTuple):
    """Seconds of each term, none below 0. `token_s[i]` is of a token beyond knot i, up to the next."""

    base_s: float
    token_s: tuple[float, ...]
    head_s: float
    row_s: tuple[float, ...]
    sequence_s: float
    chunk_s: float
    context_s: float
    pair_s: float
    chunk_context_s: float


def work_of(slices: Iterable[Slice]) -> Work:
    tokens = rows = sequences = chunks = context = pairs = chunk_context = 0
    for _, start, count, samples in slices:
        tokens += count
        rows += samples
        sequences += 1
        if count == 1:
            context += start + 1
        else:
            chunks += 1
            pairs += count * start + count * (count + 1) // 2
            chunk_context += start + count
    return Work(tokens, rows, sequences, chunks, context, pairs, chunk_context)


def terms(work: Work) -> list[float]:
    """In the order of `as_factors`: its seconds are the factors' times these."""
    return [
        1.0,
        *parts(work.tokens, TOKEN_KNOTS),
        float(work.rows > 0),
        *parts(work.rows, ROW_KNOTS),
        *work[2:],
    ]


def parts(amount: float, knots: Sequence[int]) -> list[float]:
    """How much of an amount lies in each span between knots, the last one's without end."""
    return [max(0.0, min(amount, high) - low) for low, high in pairwise((*knots, inf))]


def as_factors(values: Sequence[float]) -> Factors:
    """Of one value for each term."""
    after_tokens = 1 + len(TOKEN_KNOTS)
    after_rows = after_tokens + 1 + len(ROW_KNOTS)
    return Factors(
        values[0],
        tuple(values[1:after_tokens]),
        values[after_tokens],
        tuple(values[after_tokens + 1 : after_rows]),
        *values[after_rows:],
    )


def cost_of(factors: Factors) -> Callable[[Iterable[Slice]], float]:
    """Seconds of a step with these slices, at least one. 100 of them take some 10 microseconds."""
    token_pieces = pieces(factors.base_s, factors.token_s, TOKEN_KNOTS)
    row_pieces = pieces(factors.head_s, factors.row_s, ROW_KNOTS)
    _, _, _, _, sequence_s, chunk_s, context_s, pair_s, chunk_context_s = factors

    def step_s(slices: Iterable[Slice]) -> float:
        tokens, rows, sequences, chunks, context, pairs, chunk_context = work_of(slices)
        at_s, low, token_s = token_pieces[bisect_right(TOKEN_KNOTS, tokens) - 1]
        took_s = at_s + (tokens - low) * token_s + sequences * sequence_s + context * context_s
        took_s += chunks * chunk_s + pairs * pair_s + chunk_context * chunk_context_s
        if rows:
            at_s, low, row_s = row_pieces[bisect_right(ROW_KNOTS, rows) - 1]
            took_s += at_s + (rows - low) * row_s
        return took_s

    return step_s


def pieces(at_s: float, slopes_s: Sequence[float], knots: Sequence[int]) -> list[Piece]:
    found = []
    for (low, high), slope_s in zip(pairwise((*knots, inf)), slopes_s, strict=True):
        found.append((at_s, low, slope_s))
        at_s += (high - low) * slope_s
    return found

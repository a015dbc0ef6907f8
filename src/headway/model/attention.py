"""Attention over the paged cache with torch's own parts: a plan made once a step, used by every layer.

Owns which keys each query sees and how they are fetched. Knows no weights and no layer: queries and one
layer's cache come in, mixed values go out.

The cache is never gathered whole. A step is cut into calls, each small enough that the blocks it fetches
stay in the processor's cache between the copy and the arithmetic:

    Decodes   of several sequences, of like context: queries [S, kv_heads, group, D], keys [S, kv_heads, L, D]
    Chunk     of one sequence: queries [kv_heads, group, C, D], keys [kv_heads, 1 seen as group, L, D]

Query heads that share a K/V head (a group) ride along as query rows, or see the keys through a stride of 0,
so that grouped K and V are never repeated in memory. A sliding window is a mask, and blocks wholly behind it
are not fetched.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache

FETCH_BYTES = 4 << 20  # of K and V in one call of decodes, which may always be a pair


@dataclass(frozen=True, slots=True)
class Decodes:
    """One query of each of S sequences."""

    rows: slice | Tensor  # of the step, S of them
    blocks: Tensor  # int64: S tables of equal length, one after another
    keys: int  # how many of each table's tokens are looked at, from its first
    mask: Tensor | None  # [S, 1, 1, keys], added to the scores

    def mix(self, query: Tensor, fetched: Tensor, scale: float) -> Tensor:
        sequences, heads, dim = query.shape
        kv_heads = fetched.shape[3]
        kv = fetched.view(sequences, -1, 2, kv_heads, dim)[:, : self.keys]
        keys, values = kv.permute(2, 0, 3, 1, 4)
        grouped = query.reshape(sequences, kv_heads, heads // kv_heads, dim)
        mixed = scaled_dot_product_attention(grouped, keys, values, attn_mask=self.mask, scale=scale)
        return mixed.reshape(sequences, heads, dim)


@dataclass(frozen=True, slots=True)
class Chunk:
    """C queries of one sequence, that follow one another."""

    rows: slice  # of the step
    blocks: Tensor  # int64: the sequence's table
    keys: int  # how many of the table's tokens are looked at, from its first
    mask: Tensor | None  # [C, keys], added to the scores; None: query i sees keys [0, i]

    def mix(self, query: Tensor, fetched: Tensor, scale: float) -> Tensor:
        count, heads, dim = query.shape
        kv_heads = fetched.shape[3]
        kv = fetched.view(-1, 2, kv_heads, dim)[: self.keys]
        keys, values = kv.permute(1, 2, 0, 3).unsqueeze(2).expand(-1, -1, heads // kv_heads, -1, -1)
        grouped = query.view(count, kv_heads, -1, dim).permute(1, 2, 0, 3)
        mixed = scaled_dot_product_attention(
            grouped, keys, values, attn_mask=self.mask, is_causal=self.mask is None, scale=scale
        )
        return mixed.permute(2, 0, 1, 3).reshape(count, heads, dim)


Call = Decodes | Chunk


def plan_attention(inputs: StepInputs, kv: KVCache, window: int | None) -> list[Call]:
    """The calls of one step for all layers that share a window (None: every earlier token is seen)."""
    decodes = [s for s in inputs.sequences if s.count == 1]
    calls: list[Call] = [_plan_decodes(group, kv, window) for group in _groups(decodes, kv, window)]
    calls += [_plan_chunk(s, kv, window) for s in inputs.sequences if s.count > 1]
    return calls


def attend(query: Tensor, cache: Tensor, calls: list[Call], scale: float) -> Tensor:
    """query [T, heads, D] over one layer's cache [blocks, block_size, 2, kv_heads, D] -> [T, heads * D]."""
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    for call in calls:
        out[call.rows] = call.mix(query[call.rows], cache.index_select(0, call.blocks), scale)
    return out.flatten(1)


def _groups(decodes: list[SequenceInputs], kv: KVCache, window: int | None) -> list[list[SequenceInputs]]:
    """Cut decodes, ascending by context so that little is padded, where FETCH_BYTES would be exceeded."""
    groups: list[list[SequenceInputs]] = []
    for sequence in sorted(decodes, key=lambda s: (s.start, s.first_row)):
        keys = sequence.start + 1 if window is None else min(sequence.start + 1, window)
        if groups and (len(groups[-1]) < 2 or (len(groups[-1]) + 1) * keys * kv.slot_bytes <= FETCH_BYTES):
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return groups


def _plan_decodes(group: list[SequenceInputs], kv: KVCache, window: int | None) -> Decodes:
    firsts = [_first_block(s, kv, window) for s in group]
    tables = [s.table[f : s.start // kv.block_size + 1] for s, f in zip(group, firsts, strict=True)]
    width = max(len(table) for table in tables)
    # A shorter table is filled up with its own first block: any block will do, its keys are masked.
    blocks = torch.cat([b for t in tables for b in (t, t[:1].expand(width - len(t)))])
    position = torch.tensor([s.start for s in group]).unsqueeze(1)
    origin = torch.tensor(firsts).unsqueeze(1) * kv.block_size
    keys = int((position - origin).max()) + 1
    seen = _seen(position, origin + torch.arange(keys), window)
    mask = None if bool(seen.all()) else _additive(seen, kv.dtype).view(len(group), 1, 1, keys)
    return Decodes(_rows([s.first_row for s in group]), blocks, keys, mask)


def _plan_chunk(sequence: SequenceInputs, kv: KVCache, window: int | None) -> Chunk:
    end = sequence.start + sequence.count
    first = _first_block(sequence, kv, window)
    rows = slice(sequence.first_row, sequence.first_row + sequence.count)
    blocks = sequence.table[first : (end - 1) // kv.block_size + 1]
    origin = first * kv.block_size
    if sequence.start == 0 and (window is None or end <= window):
        return Chunk(rows, blocks, end, None)
    seen = _seen(torch.arange(sequence.start, end).unsqueeze(1), torch.arange(origin, end), window)
    return Chunk(rows, blocks, end - origin, _additive(seen, kv.dtype))


def _first_block(sequence: SequenceInputs, kv: KVCache, window: int | None) -> int:
    """The first block of which any query of the slice sees a key."""
    return 0 if window is None else max(0, sequence.start + 1 - window) // kv.block_size


def _seen(position: Tensor, key: Tensor, window: int | None) -> Tensor:
    """Which keys a query sees: those not after it, and of these the last `window`."""
    seen = key <= position
    return seen if window is None else seen & (key > position - window)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf"))


def _rows(rows: list[int]) -> slice | Tensor:
    """A slice where the rows follow one another: indexing with it copies nothing."""
    if rows == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return torch.tensor(rows)

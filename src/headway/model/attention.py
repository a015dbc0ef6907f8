"""Attention over the paged cache with torch's own parts: a plan made once a step, used by every layer.

Owns which keys each query sees and how they are fetched. Knows no weights and no layer: queries and one
layer's cache come in, mixed values go out.

The cache is never gathered whole. A step is cut into calls, each small enough that the blocks it fetches
stay in the processor's cache between the copy and the arithmetic:

    decodes    several sequences, of like context: queries [S, kv_heads, group, D], keys [S, kv_heads, L, D]
    a chunk    of one sequence: queries [kv_heads, group, C, D], keys [kv_heads, 1 seen as group, L, D]

Query heads that share a K/V head (a group) ride along as query rows, or see the keys through a stride of 0,
so that grouped K and V are never repeated in memory. A sliding window is a mask, and blocks wholly behind it
are not fetched.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from headway.model.inputs import SequenceInputs, StepInputs

FETCH_TOKENS = 4096  # keys a call fetches at most, unless it serves a single pair of sequences


@dataclass(frozen=True, slots=True)
class Call:
    """One attention call: which query rows, which blocks, and what is hidden from whom."""

    rows: slice | Tensor  # of the step; S rows (decodes) or C rows (a chunk)
    blocks: Tensor  # int64: S tables of equal length one after another, or one table
    keys: int  # how many of each table's tokens are looked at, from its first
    mask: Tensor | None  # float [S, 1, 1, keys] or [C, keys], added to the scores
    causal: bool  # a chunk that begins its sequence: row i sees keys [0, i]
    decode: bool


def plan_attention(inputs: StepInputs, block_size: int, window: int | None, dtype: torch.dtype) -> list[Call]:
    """The calls of one step for all layers that share a window (None: every earlier token is seen)."""
    decodes = [s for s in inputs.sequences if s.count == 1]
    decodes.sort(key=lambda s: (s.start, s.first_row))
    calls = [_plan_decodes(group, block_size, window, dtype) for group in _groups(decodes, window)]
    calls += [_plan_chunk(s, block_size, window, dtype) for s in inputs.sequences if s.count > 1]
    return calls


def attend(query: Tensor, cache: Tensor, calls: list[Call], scale: float) -> Tensor:
    """query [T, heads, D] over one layer's cache [blocks, block_size, 2, kv_heads, D] -> [T, heads * D]."""
    out = torch.empty_like(query)
    for call in calls:
        fetched = cache.index_select(0, call.blocks)
        if call.decode:
            out[call.rows] = _attend_decodes(query[call.rows], fetched, call, scale)
        else:
            out[call.rows] = _attend_chunk(query[call.rows], fetched, call, scale)
    return out.flatten(1)


def _attend_decodes(query: Tensor, fetched: Tensor, call: Call, scale: float) -> Tensor:
    sequences, heads, dim = query.shape
    kv_heads = fetched.shape[3]
    kv = fetched.view(sequences, -1, 2, kv_heads, dim)[:, : call.keys]
    keys, values = kv[:, :, 0].transpose(1, 2), kv[:, :, 1].transpose(1, 2)
    grouped = query.reshape(sequences, kv_heads, heads // kv_heads, dim)
    mixed = scaled_dot_product_attention(grouped, keys, values, attn_mask=call.mask, scale=scale)
    return mixed.reshape(sequences, heads, dim)


def _attend_chunk(query: Tensor, fetched: Tensor, call: Call, scale: float) -> Tensor:
    count, heads, dim = query.shape
    kv_heads = fetched.shape[3]
    group = heads // kv_heads
    kv = fetched.view(-1, 2, kv_heads, dim)[: call.keys]
    shared = kv.permute(1, 2, 0, 3).unsqueeze(2).expand(2, kv_heads, group, call.keys, dim)
    grouped = query.view(count, kv_heads, group, dim).permute(1, 2, 0, 3)
    mixed = scaled_dot_product_attention(
        grouped, shared[0], shared[1], attn_mask=call.mask, is_causal=call.causal, scale=scale
    )
    return mixed.permute(2, 0, 1, 3).reshape(count, heads, dim)


def _groups(decodes: list[SequenceInputs], window: int | None) -> list[list[SequenceInputs]]:
    """Cut decodes, ascending by context, where padded keys would exceed FETCH_TOKENS; pairs always may."""
    groups: list[list[SequenceInputs]] = []
    for sequence in decodes:
        keys = sequence.start + 1 if window is None else min(sequence.start + 1, window)
        if groups and (len(groups[-1]) < 2 or (len(groups[-1]) + 1) * keys <= FETCH_TOKENS):
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return groups


def _plan_decodes(
    group: list[SequenceInputs], block_size: int, window: int | None, dtype: torch.dtype
) -> Call:
    firsts = [_first_block(s, block_size, window) for s in group]
    tables = [s.table[f : s.start // block_size + 1] for s, f in zip(group, firsts, strict=True)]
    width = max(len(table) for table in tables)
    # A shorter table is filled up with its own first block: any block will do, its keys are masked.
    blocks = torch.cat([b for t in tables for b in (t, t[:1].expand(width - len(t)))])
    position = torch.tensor([s.start for s in group]).unsqueeze(1)
    origin = torch.tensor(firsts).unsqueeze(1) * block_size
    keys = int((position - origin).max()) + 1
    seen = _seen(position, origin + torch.arange(keys), window)
    mask = None if bool(seen.all()) else _additive(seen, dtype).view(len(group), 1, 1, keys)
    return Call(_rows([s.first_row for s in group]), blocks, keys, mask, causal=False, decode=True)


def _plan_chunk(sequence: SequenceInputs, block_size: int, window: int | None, dtype: torch.dtype) -> Call:
    end = sequence.start + sequence.count
    first = _first_block(sequence, block_size, window)
    rows = slice(sequence.first_row, sequence.first_row + sequence.count)
    blocks = sequence.table[first : (end - 1) // block_size + 1]
    keys = end - first * block_size
    if sequence.start == 0 and (window is None or end <= window):
        return Call(rows, blocks, keys, None, causal=True, decode=False)
    positions = torch.arange(sequence.start, end).unsqueeze(1)
    seen = _seen(positions, torch.arange(first * block_size, end), window)
    return Call(rows, blocks, keys, _additive(seen, dtype), causal=False, decode=False)


def _first_block(sequence: SequenceInputs, block_size: int, window: int | None) -> int:
    """The first block of which any query of the slice sees a key."""
    return 0 if window is None else max(0, sequence.start + 1 - window) // block_size


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

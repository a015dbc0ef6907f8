"""Attention over the paged cache with torch's own parts: a plan made once a step, used by every layer.

Owns which keys each query sees and how they are read. Knows no weights and no layer: queries and one layer's
cache come in, mixed values go out.

    Decodes   one query of each of several sequences. Keys and values are read where they lie: the scores
              are a matrix product sampled at the slots that each (sequence, head) sees, and what the weights
              mix is one bag of rows for each. No slot is read that the sequence did not write.
    Chunk     several queries of one sequence, whose blocks are fetched first: queries [kv_heads, group, C,
              D], keys [kv_heads, 1 seen as group, L, D]. Query heads that share a K/V head see the keys
              through a stride of 0, so that grouped K and V are never repeated in memory.

A sliding window leaves keys out of a decode's slots, and is a mask for a chunk.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, scaled_dot_product_attention

from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache

SPARE_KEYS = 512  # a call costs about what so many keys cost: a group may be filled up by them
MOST_PLACES = 1 << 22  # of scores in one call, unless it is of a single sequence


@dataclass(frozen=True, slots=True)
class Decodes:
    """One query of each of S sequences that see L keys each; who has fewer is filled up and masked there."""

    rows: slice | Tensor  # of the step, S of them
    scores: Tensor  # sparse CSR [S * heads, slots * kv_heads], L a row; each layer writes its own
    mask: Tensor | None  # [S, 1, L], added to the scores

    def mix(self, query: Tensor, cache: Tensor, scale: float) -> Tensor:
        sequences, heads, dim = query.shape
        keys, values = cache.view(2, -1, dim)
        torch.sparse.sampled_addmm(
            self.scores, query.reshape(-1, dim), keys.t(), beta=0.0, alpha=scale, out=self.scores
        )
        scores = self.scores.values().view(sequences, heads, -1)
        weights = torch.softmax(scores if self.mask is None else scores + self.mask, dim=-1)
        places, firsts = self.scores.col_indices(), self.scores.crow_indices()[:-1]
        mixed = embedding_bag(places, values, firsts, mode="sum", per_sample_weights=weights.view(-1))
        return mixed.view(sequences, heads, dim)


@dataclass(frozen=True, slots=True)
class Chunk:
    """C queries of one sequence, that follow one another."""

    rows: slice  # of the step
    blocks: Tensor  # int64: the sequence's table
    keys: int  # how many of the table's tokens are looked at, from its first
    mask: Tensor | None  # [C, keys], added to the scores; None: query i sees keys [0, i]

    def mix(self, query: Tensor, cache: Tensor, scale: float) -> Tensor:
        count, heads, dim = query.shape
        kv_heads = cache.shape[3]
        kv = cache.index_select(1, self.blocks).view(2, -1, kv_heads, dim)[:, : self.keys]
        keys, values = kv.transpose(1, 2).unsqueeze(2).expand(-1, -1, heads // kv_heads, -1, -1)
        grouped = query.view(count, kv_heads, -1, dim).permute(1, 2, 0, 3)
        mixed = scaled_dot_product_attention(
            grouped, keys, values, attn_mask=self.mask, is_causal=self.mask is None, scale=scale
        )
        return mixed.permute(2, 0, 1, 3).reshape(count, heads, dim)


Call = Decodes | Chunk


def plan_attention(inputs: StepInputs, kv: KVCache, heads: int, window: int | None) -> list[Call]:
    """The calls of one step for all layers that share a window (None: every earlier token is seen)."""
    decodes = [s for s in inputs.sequences if s.count == 1]
    groups = _groups(decodes, heads, window)
    calls: list[Call] = [_plan_decodes(group, kv, heads, window) for group in groups]
    calls += [_plan_chunk(s, kv, window) for s in inputs.sequences if s.count > 1]
    return calls


def attend(query: Tensor, cache: Tensor, calls: list[Call], scale: float) -> Tensor:
    """query [T, heads, D] over one layer's cache [2, blocks, block_size, kv_heads, D] -> [T, heads * D]."""
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    for call in calls:
        out[call.rows] = call.mix(query[call.rows], cache, scale)
    return out.flatten(1)


def _groups(decodes: list[SequenceInputs], heads: int, window: int | None) -> list[list[SequenceInputs]]:
    """Cut decodes, ascending by context, where filling the shorter up would be over a quarter of the work."""
    groups: list[list[SequenceInputs]] = []
    held = 0  # keys that the last group's sequences see
    for sequence in sorted(decodes, key=lambda s: (s.start, s.first_row)):
        keys = _keys(sequence, window)
        filled = (len(groups[-1]) + 1) * keys if groups else 0
        spare = filled - held - keys
        if groups and spare <= max(SPARE_KEYS, held // 4) and filled * heads <= MOST_PLACES:
            groups[-1].append(sequence)
            held += keys
        else:
            groups.append([sequence])
            held = keys
    return groups


def _plan_decodes(group: list[SequenceInputs], kv: KVCache, heads: int, window: int | None) -> Decodes:
    counts = torch.tensor([_keys(s, window) for s in group]).unsqueeze(1)
    width = int(counts.max())
    last = torch.tensor([s.start for s in group]).unsqueeze(1)
    # Filled up at the end with the sequence's own last slot: it is finite where the sequence is.
    seen = torch.minimum(last + 1 - counts + torch.arange(width), last)
    tables = torch.nn.utils.rnn.pad_sequence([s.table for s in group], batch_first=True)
    slots = tables.gather(1, seen // kv.block_size) * kv.block_size + seen % kv.block_size
    kv_head = torch.arange(heads) // (heads // kv.kv_heads)
    places = (slots.unsqueeze(1) * kv.kv_heads + kv_head.unsqueeze(1)).flatten()
    mask = None
    if int(counts.min()) < width:
        mask = _additive(torch.arange(width) < counts, kv.dtype).unsqueeze(1)
    return Decodes(_rows([s.first_row for s in group]), _sampled_at(places, width, kv), mask)


def _sampled_at(places: Tensor, width: int, kv: KVCache) -> Tensor:
    """An empty sparse matrix with `width` places in each row, neither sorted nor all different.

    The two operations that use it go through the places one by one, so neither is needed.
    """
    firsts = torch.arange(0, len(places) + 1, width, dtype=torch.int32)
    shape = (len(firsts) - 1, kv.blocks * kv.block_size * kv.kv_heads)
    empty = torch.zeros(len(places), dtype=kv.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once a process that sparse CSR is in beta
        return torch.sparse_csr_tensor(firsts, places.to(torch.int32), empty, shape, check_invariants=False)


def _keys(sequence: SequenceInputs, window: int | None) -> int:
    """How many keys a decode sees, its own among them."""
    return sequence.start + 1 if window is None else min(sequence.start + 1, window)


def _plan_chunk(sequence: SequenceInputs, kv: KVCache, window: int | None) -> Chunk:
    end = sequence.start + sequence.count
    first = 0 if window is None else max(0, sequence.start + 1 - window) // kv.block_size
    rows = slice(sequence.first_row, sequence.first_row + sequence.count)
    blocks = sequence.table[first : (end - 1) // kv.block_size + 1]
    origin = first * kv.block_size
    if sequence.start == 0 and (window is None or end <= window):
        return Chunk(rows, blocks, end, None)
    seen = _seen(torch.arange(sequence.start, end).unsqueeze(1), torch.arange(origin, end), window)
    return Chunk(rows, blocks, end - origin, _additive(seen, kv.dtype))


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

"""Planned, paged attention equals attention written out query by query, whatever shares a step."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headway.model import attention
from headway.model.attention import Chunk, Decodes, attend, plan_attention
from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache
from headway.spec import ModelSpec, Rope
from tests.models.greedy import step_inputs

HEADS, KV_HEADS, DIM, BLOCK = 6, 2, 8, 4
SCALE = 0.3
SPEC = ModelSpec(
    family="llama", layers=1, hidden=8, heads=HEADS, kv_heads=KV_HEADS, head_dim=DIM, ffn=8, vocab=9,
    max_positions=99, norm_eps=1e-5, ropes=(Rope(1e4),), windows=(None,), attention_scale=SCALE, tied=True,
)  # fmt: skip


def a_step(slices: list[tuple[int, int]], seed: int) -> StepInputs:
    """Sequences of (start, count), rows in order, tables from one shuffled pool."""
    blocks = [-(-(start + count) // BLOCK) for start, count in slices]
    pool = random.Random(seed).sample(range(sum(blocks)), sum(blocks))
    sequences, row, used = [], 0, 0
    for (start, count), width in zip(slices, blocks, strict=True):
        sequences.append(SequenceInputs(row, count, start, torch.tensor(pool[used : used + width])))
        row, used = row + count, used + width
    return step_inputs(sequences, [0] * row, [], BLOCK)


def written_out(query: Tensor, cache: Tensor, inputs: StepInputs, window: int | None) -> Tensor:
    """One query, one head at a time: softmax(q . k * scale) over the keys it may see."""
    slots = cache.flatten(1, 2).transpose(0, 1)
    out = torch.zeros(len(query), HEADS, DIM)
    for s in inputs.sequences:
        for row in range(s.first_row, s.first_row + s.count):
            position = s.start + row - s.first_row
            seen = torch.arange(0 if window is None else max(0, position - window + 1), position + 1)
            kv = slots[s.table[seen // BLOCK] * BLOCK + seen % BLOCK]  # [seen, 2, kv_heads, D]
            for head in range(HEADS):
                shared = head // (HEADS // KV_HEADS)
                weights = torch.softmax(kv[:, 0, shared] @ query[row, head] * SCALE, dim=0)
                out[row, head] = weights @ kv[:, 1, shared]
    return out.flatten(1)


def a_cache(inputs: StepInputs) -> KVCache:
    kv = KVCache(SPEC, 2 + sum(len(s.table) for s in inputs.sequences), BLOCK, torch.float32)
    kv.layers[0].normal_(generator=torch.Generator().manual_seed(3))
    return kv


def a_query(inputs: StepInputs) -> Tensor:
    return torch.randn(len(inputs.tokens), HEADS, DIM, generator=torch.Generator().manual_seed(4))


def assert_as_written_out(inputs: StepInputs, window: int | None) -> None:
    kv, query = a_cache(inputs), a_query(inputs)
    planned = attend(query, kv.layers[0], plan_attention(inputs, kv, HEADS, window), SCALE)
    expected = written_out(query, kv.layers[0], inputs, window)
    torch.testing.assert_close(planned, expected, rtol=1e-4, atol=1e-5)


slices = st.lists(st.tuples(st.integers(0, 40), st.just(1) | st.integers(1, 20)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(slices, st.none() | st.integers(1, 24))
def test_any_mix_of_decodes_and_chunks(mix: list[tuple[int, int]], window: int | None) -> None:
    assert_as_written_out(a_step(mix, seed=len(mix)), window)


def places(inputs: StepInputs, window: int | None = None) -> list[int]:
    """How many places each call of decodes has in one row of scores."""
    calls = plan_attention(inputs, a_cache(inputs), HEADS, window)
    return [len(call.scores.values()) // call.scores.shape[0] for call in calls if isinstance(call, Decodes)]


def test_decodes_of_like_context_share_a_call_and_a_long_one_fills_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = a_step([(19, 1), (90, 1), (20, 1), (18, 1)], seed=0)
    assert places(inputs) == [91], "so little is spared that one call is cheapest"
    monkeypatch.setattr(attention, "SPARE_KEYS", 8)
    assert places(inputs) == [21, 91]
    assert_as_written_out(inputs, None)


def test_a_call_holds_only_so_many_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = a_step([(19, 1)] * 7, seed=0)
    monkeypatch.setattr(attention, "MOST_PLACES", 3 * 20 * HEADS)
    assert len(places(inputs)) == 3
    assert_as_written_out(inputs, None)


def test_what_is_behind_a_window_is_not_read() -> None:
    inputs = a_step([(1000, 1), (1000, 8)], seed=0)
    assert places(inputs, 16) == [16]
    (chunk,) = (c for c in plan_attention(inputs, a_cache(inputs), HEADS, 16) if isinstance(c, Chunk))
    assert len(chunk.blocks) <= 16 // BLOCK + 3


def test_what_lies_in_slots_not_yet_written_does_no_harm() -> None:
    inputs = a_step([(5, 1), (30, 1), (1, 4)], seed=2)
    kv, query = a_cache(inputs), a_query(inputs)
    calls = plan_attention(inputs, kv, HEADS, None)
    clean = attend(query, kv.layers[0], calls, SCALE)
    for s in inputs.sequences:
        kv.layers[0][:, s.table[-1], (s.start + s.count - 1) % BLOCK + 1 :] = float("nan")
    assert torch.equal(attend(query, kv.layers[0], calls, SCALE), clean)


def test_what_other_sequences_hold_is_never_read() -> None:
    inputs = a_step([(3, 1), (30, 1), (0, 9)], seed=1)
    kv, query = a_cache(inputs), a_query(inputs)
    calls = plan_attention(inputs, kv, HEADS, None)
    before = attend(query, kv.layers[0], calls, SCALE)
    for s in inputs.sequences[1:]:
        kv.layers[0][:, s.table] = float("nan")
    assert torch.equal(attend(query, kv.layers[0], calls, SCALE)[0], before[0])

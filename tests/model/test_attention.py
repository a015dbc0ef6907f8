"""Planned, paged attention equals attention written out query by query, whatever shares a step."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headway.model import attention
from headway.model.attention import attend, plan_attention
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
    slots = cache.flatten(0, 1)
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
    planned = attend(query, kv.layers[0], plan_attention(inputs, kv, window), SCALE)
    expected = written_out(query, kv.layers[0], inputs, window)
    torch.testing.assert_close(planned, expected, rtol=1e-4, atol=1e-5)


slices = st.lists(st.tuples(st.integers(0, 40), st.just(1) | st.integers(1, 20)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(slices, st.none() | st.integers(1, 24))
def test_any_mix_of_decodes_and_chunks(mix: list[tuple[int, int]], window: int | None) -> None:
    assert_as_written_out(a_step(mix, seed=len(mix)), window)


def test_decodes_are_cut_into_calls_that_fetch_little(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = a_step([(19, 1)] * 7, seed=0)
    kv = a_cache(inputs)
    monkeypatch.setattr(attention, "FETCH_BYTES", 64 * kv.slot_bytes)
    calls = plan_attention(inputs, kv, None)
    assert [len(call.blocks) * BLOCK for call in calls] == [60, 60, 20]
    assert_as_written_out(inputs, None)


def test_blocks_behind_a_window_are_not_fetched() -> None:
    inputs = a_step([(1000, 1), (1000, 8)], seed=0)
    for call in plan_attention(inputs, a_cache(inputs), 16):
        assert len(call.blocks) <= 16 // BLOCK + 3


def test_what_other_sequences_hold_is_never_read() -> None:
    inputs = a_step([(3, 1), (30, 1), (0, 9)], seed=1)
    kv, query = a_cache(inputs), a_query(inputs)
    calls = plan_attention(inputs, kv, None)
    before = attend(query, kv.layers[0], calls, SCALE)
    for s in inputs.sequences[1:]:
        kv.layers[0][s.table] = float("nan")
    assert torch.equal(attend(query, kv.layers[0], calls, SCALE)[0], before[0])

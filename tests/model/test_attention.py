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
from tests.models.greedy import step_inputs

HEADS, KV_HEADS, DIM, BLOCK = 6, 2, 8, 4
SCALE = 0.3


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


def both(slices: list[tuple[int, int]], window: int | None) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = a_step(slices, seed=len(slices))
    blocks = sum(len(s.table) for s in inputs.sequences)
    cache = torch.randn(blocks, BLOCK, 2, KV_HEADS, DIM, generator=generator)
    query = torch.randn(len(inputs.tokens), HEADS, DIM, generator=generator)
    planned = attend(query, cache, plan_attention(inputs, BLOCK, window, query.dtype), SCALE)
    return planned, written_out(query, cache, inputs, window)


slices = st.lists(
    st.tuples(st.integers(0, 40), st.one_of(st.just(1), st.integers(1, 20))), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(slices, st.one_of(st.none(), st.integers(1, 24)))
def test_any_mix_of_decodes_and_chunks(mix: list[tuple[int, int]], window: int | None) -> None:
    planned, expected = both(mix, window)
    torch.testing.assert_close(planned, expected, rtol=1e-4, atol=1e-5)


def test_decodes_are_cut_into_calls_that_fetch_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "FETCH_TOKENS", 64)
    inputs = a_step([(19, 1)] * 7, seed=0)
    calls = plan_attention(inputs, BLOCK, None, torch.float32)
    assert [len(call.blocks) * BLOCK for call in calls] == [60, 60, 20]
    planned, expected = both([(19, 1)] * 7, None)
    torch.testing.assert_close(planned, expected, rtol=1e-4, atol=1e-5)


def test_blocks_behind_a_window_are_not_fetched() -> None:
    inputs = a_step([(1000, 1), (1000, 8)], seed=0)
    for call in plan_attention(inputs, BLOCK, 16, torch.float32):
        assert len(call.blocks) <= 16 // BLOCK + 3


def test_what_other_sequences_hold_is_never_read() -> None:
    inputs = a_step([(3, 1), (30, 1), (0, 9)], seed=1)
    cache = torch.randn(len(torch.cat([s.table for s in inputs.sequences])) + 2, BLOCK, 2, KV_HEADS, DIM)
    query = torch.randn(len(inputs.tokens), HEADS, DIM)
    calls = plan_attention(inputs, BLOCK, None, query.dtype)
    whole = attend(query, cache, calls, SCALE)
    for s in inputs.sequences[1:]:
        cache[s.table] = float("nan")
    assert torch.equal(attend(query, cache, calls, SCALE)[0], whole[0])

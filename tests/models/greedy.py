"""Greedy decoding of several sequences straight on a decoder: no scheduler, blocks in scattered order."""

import random
from typing import NamedTuple

import torch
from torch import Tensor

from headway.model.decoder import Decoder
from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache
from headway.spec import ModelSpec


class Greedy(NamedTuple):
    """What one prompt gave: n tokens, and the logits [n, V] that each was the best of."""

    tokens: list[int]
    logits: Tensor


class Running:
    """One sequence: all its tokens, how many the cache holds, its block table."""

    def __init__(self, prompt: list[int], table: Tensor) -> None:
        self.tokens, self.prompt, self.computed, self.table = list(prompt), len(prompt), 0, table
        self.logits: list[Tensor] = []

    def slice(self, first_row: int, chunk: int) -> SequenceInputs:
        count = min(chunk, len(self.tokens) - self.computed)
        return SequenceInputs(first_row, count, self.computed, self.table)


def greedy(
    decoder: Decoder, spec: ModelSpec, prompts: list[list[int]], new_tokens: int, chunk: int = 1 << 30
) -> list[Greedy]:
    """All prompts together in one batch, `chunk` tokens of each a step at most."""
    block_size = 4
    blocks = [-(-(len(p) + new_tokens) // block_size) for p in prompts]
    order = torch.tensor(random.Random(5).sample(range(sum(blocks) + 3), sum(blocks)))
    kv = KVCache(spec, sum(blocks) + 3, block_size, torch.float32)
    tables = torch.split(order, blocks)
    sequences = [Running(prompt, table) for prompt, table in zip(prompts, tables, strict=True)]
    while unfinished := [s for s in sequences if len(s.logits) < new_tokens]:
        _step(decoder, kv, unfinished, chunk)
    return [Greedy(s.tokens[s.prompt :], torch.stack(s.logits)) for s in sequences]


def _step(decoder: Decoder, kv: KVCache, sequences: list[Running], chunk: int) -> None:
    slices: list[SequenceInputs] = []
    for sequence in sequences:
        slices.append(sequence.slice(sum(s.count for s in slices), chunk))
    done = [s.start + s.count for s in slices]
    sampled = [i for i, s in enumerate(sequences) if done[i] == len(s.tokens)]
    inputs = step_inputs(
        slices,
        [t for s, part in zip(sequences, slices, strict=True) for t in s.tokens[part.start :][: part.count]],
        [slices[i].first_row + slices[i].count - 1 for i in sampled],
        kv.block_size,
    )
    logits = decoder.logits(decoder.forward(inputs, kv))
    for sequence, computed in zip(sequences, done, strict=True):
        sequence.computed = computed
    for row, i in zip(logits, sampled, strict=True):
        sequences[i].logits.append(row)
        sequences[i].tokens.append(int(row.argmax()))


def step_inputs(
    slices: list[SequenceInputs], tokens: list[int], rows: list[int], block_size: int
) -> StepInputs:
    """What an executor builds: positions and slots follow from the slices."""
    positions = torch.cat([torch.arange(s.start, s.start + s.count) for s in slices])
    tables = [s.table[torch.arange(s.start, s.start + s.count) // block_size] for s in slices]
    slots = torch.cat(tables) * block_size + positions % block_size
    return StepInputs(torch.tensor(tokens), positions, slots, torch.tensor(rows), slices)

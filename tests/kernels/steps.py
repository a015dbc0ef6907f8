"""Steps for mixers: shapes, queries, caches whose foreign slots hold NaN, and what each query is answered."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache
from headway.model.parts import Mixing
from headway.spec import ModelSpec, Rope
from tests.models.greedy import step_inputs

ROPE = Rope(1e4)


@dataclass(frozen=True)
class Shape:
    heads: int = 6
    kv_heads: int = 2
    dim: int = 16
    block: int = 4
    window: int | None = None
    qk_norm: bool = False

    def spec(self) -> ModelSpec:
        return ModelSpec(
            family="llama", layers=1, hidden=8, heads=self.heads, kv_heads=self.kv_heads, head_dim=self.dim,
            ffn=8, vocab=9, max_positions=9999, norm_eps=1e-5, ropes=(ROPE,), windows=(self.window,),
            attention_scale=self.dim**-0.5, tied=True,
        )  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """All of one sequence: its qkv rows by position, the same in whatever step they are computed."""

    qkv: Tensor

    @classmethod
    def drawn(cls, shape: Shape, length: int, seed: int) -> "Conversation":
        width = (shape.heads + 2 * shape.kv_heads) * shape.dim
        return cls(torch.randn(length, width, generator=torch.Generator().manual_seed(seed)))


Slice = tuple[Conversation, int, int]
"""A conversation, the position it has come to, and how many tokens it is given."""


def answers(mixing: Mixing, shape: Shape, slices: list[Slice], seed: int = 0) -> list[Tensor]:
    """What one step answers each slice. What came before is written one conversation at a time; all other
    slots, between and around them, hold NaN.
    """
    widths = [-(-(start + count) // shape.block) for _, start, count in slices]
    pool = random.Random(seed).sample(range(sum(widths) + 3), sum(widths))
    kv = KVCache(shape.spec(), sum(widths) + 3, shape.block, torch.float32)
    kv.layers[0].fill_(float("nan"))
    tables = list(torch.tensor(pool, dtype=torch.int64).split(widths))
    for (talk, start, _), table in zip(slices, tables, strict=True):
        if start:
            one_step(mixing, shape, kv, [(talk, 0, start)], [table])
    mixed = one_step(mixing, shape, kv, slices, tables)
    return list(mixed.split([count for _, _, count in slices]))


def one_step(mixing: Mixing, shape: Shape, kv: KVCache, slices: list[Slice], tables: list[Tensor]) -> Tensor:
    inputs = inputs_of(slices, tables, shape.block)
    qkv = torch.cat([talk.qkv[start : start + count] for talk, start, count in slices])
    norms = (torch.linspace(0.5, 1.5, shape.dim), torch.linspace(1.5, 0.5, shape.dim))
    mixer = mixing.mixer(shape.window, ROPE, norms if shape.qk_norm else None)
    return mixer(qkv, mixing.plan(inputs, kv), kv.layers[0])


def inputs_of(slices: list[Slice], tables: list[Tensor], block: int) -> StepInputs:
    sequences, row = [], 0
    for (_, start, count), table in zip(slices, tables, strict=True):
        sequences.append(SequenceInputs(row, count, start, table))
        row += count
    return step_inputs(sequences, [0] * row, [], block)

"""A model whose next token depends on every token before it, read through the block tables.

Any token out of place, any wrong slot, position or row changes what comes out. It stands for a decoder.
"""

import torch
from torch import Tensor

from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.spec import ModelSpec, Rope

VOCAB = 50
STATES = 997
POISON = 13  # once it is read, logits are NaN
DEADLY = 14  # a step that reads it raises


def make_cache(blocks: int = 64, block_size: int = 4) -> KVCache:
    """A cache of one layer and one number a token."""
    spec = ModelSpec(
        family="llama", layers=1, hidden=1, heads=1, kv_heads=1, head_dim=1, ffn=1, vocab=VOCAB,
        max_positions=256, norm_eps=1e-5, ropes=(Rope(1e4),), windows=(None,), attention_scale=1.0, tied=True,
    )  # fmt: skip
    return KVCache(spec, blocks, block_size, torch.float32)


def next_logits(tokens: list[int]) -> Tensor:
    """What the model says after `tokens`, worked out plainly: float32 [VOCAB]."""
    state = 0
    for position, token in enumerate(tokens):
        state = (state * 31 + token * 7 + position + 1) % STATES
    return _table()[state]


def _table() -> Tensor:
    logits = torch.randn(STATES, VOCAB, generator=torch.Generator().manual_seed(1)) * 2
    logits[:, [POISON, DEADLY]] = -100.0  # it never says these itself
    return logits


class HashingModel:
    def __init__(self) -> None:
        self.steps: list[int] = []  # how many tokens each step had
        self._logits = _table()

    def forward(self, inputs: StepInputs, kv: KVCache) -> Tensor:
        assert len(set(inputs.slots.tolist())) == len(inputs.slots)
        if DEADLY in inputs.tokens:
            raise MemoryError("out of memory, say")
        self.steps.append(len(inputs.tokens))
        cache = kv.layers[0].view(2, -1)
        cache[0, inputs.slots] = inputs.tokens.float()
        cache[1, inputs.slots] = inputs.positions.float()
        states = torch.zeros(len(inputs.tokens), 1)
        for sequence in inputs.sequences:
            end = sequence.start + sequence.count
            held = kv.layers[0][:, sequence.table].view(2, -1).T[:end]
            state = 0
            for position, (token, turned) in enumerate(held.tolist()):
                state = (state * 31 + int(token) * 7 + int(turned) + 1) % STATES
                row = sequence.first_row + position - sequence.start
                if position >= sequence.start:
                    states[row] = float("nan") if POISON in held[: position + 1, 0] else state
        return states[inputs.rows]

    def logits(self, hidden: Tensor) -> Tensor:
        spoilt = hidden.isnan()
        return self._logits[hidden.nan_to_num().long().squeeze(1)].masked_fill(spoilt, float("nan"))

"""Plays the scheduler for a runner: joins sequences, cuts slices, lets blocks grow."""

from array import array
from itertools import count

from headway.core.types import Batch, Grown, Joined, Outcome, Sampling, Slice
from headway.executors.runner import Model, Runner
from headway.model.kv import KVCache
from tests.executors.hashing_model import HashingModel, make_cache

BLOCKS = 64


class Driver:
    """Blocks are handed out of order, so that a table is never the identity."""

    def __init__(self, model: Model | None = None, kv: KVCache | None = None, slab_rows: int = 128) -> None:
        kv = kv or make_cache(BLOCKS)
        assert kv.blocks == BLOCKS
        self.runner = Runner(model or HashingModel(), kv, slab_rows)
        self._size = kv.block_size
        self._free = [(7 * i) % BLOCKS for i in range(BLOCKS)]
        self._blocks: dict[int, list[int]] = {}
        self._batch_ids = count()
        self._gone: list[int] = []
        self._joined: list[Joined] = []

    def join(self, id: int, tokens: list[int], sampling: Sampling, prompt_tokens: int | None = None) -> None:
        blocks = [self._free.pop() for _ in range(-(-len(tokens) // self._size))]
        self._blocks[id] = blocks
        known = array("i", tokens)
        prompt_tokens = len(tokens) if prompt_tokens is None else prompt_tokens
        self._joined.append(Joined(id, known, prompt_tokens, 0, sampling, (tuple(blocks),)))

    def leave(self, id: int) -> None:
        self._free = self._blocks.pop(id) + self._free
        self._gone.append(id)

    def step(self, *slices: Slice) -> list[Outcome]:
        """Grow whoever needs it and run one batch of what has been asked for since the last."""
        grown = []
        for slice in slices:
            blocks = self._blocks[slice.id]
            missing = -(-(slice.start + slice.count) // self._size) - len(blocks)
            if missing > 0:
                more = [self._free.pop() for _ in range(missing)]
                blocks += more
                grown.append(Grown(slice.id, (tuple(more),)))
        batch = Batch(next(self._batch_ids), tuple(self._gone), tuple(self._joined), tuple(grown), slices)
        self._gone, self._joined = [], []
        return self.runner.step(batch)

    def generate(self, id: int, prompt: list[int], sampling: Sampling, chunk: int = 1000) -> list[Outcome]:
        """Join a sequence, compute its prompt by chunks, then token after token: every outcome."""
        self.join(id, prompt, sampling)
        outcomes = []
        for start in range(0, len(prompt), chunk):
            size = min(chunk, len(prompt) - start)
            outcomes += self.step(Slice(id, start, size, start + size == len(prompt)))
        for i in range(sampling.max_tokens - 1):
            outcomes += self.step(Slice(id, len(prompt) + i, 1, samples=True))
        return outcomes


def tokens_of(outcomes: list[Outcome]) -> list[int]:
    return [token for outcome in outcomes for token in outcome.tokens]

"""What of a step depends on each of its sequences: attention, by every sequence's own context.

All seconds are those of one pipeline stage, on one of its GPUs, which has its part of the heads. A slice of
a few tokens (one, or drafts) reads its context; a chunk computes its pairs of tokens and reads what they see.
"""

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

from headway.core.types import Slice
from headway.rounding import ceil_div
from headway.sim.devices import Device
from headway.sim.fits import Generation, processors, short_context
from headway.sim.layers import Layout
from headway.sim.models import Dimensions
from headway.sim.precision import Precision

few_tokens = 16  # a slice of no more runs in decode's kernel


class Count(NamedTuple):
    """Of a batch: what it asks of the layers and of the head; and attention's seconds."""

    tokens: int
    rows: int  # that are sampled: with drafts, each of a slice's tokens
    prefill_s: float
    decode_s: float


class Attention:
    def __init__(
        self, model: Dimensions, device: Device, layout: Layout, kv: Precision, generation: Generation
    ) -> None:
        stage = ceil_div(model.layers, layout.pp)
        heads, kv_heads = model.heads / layout.tp, ceil_div(model.kv_heads, layout.tp)
        self._window = model.window
        self._windowed = model.windowed_layers / model.layers  # the share of layers that have it
        head_s = 2 * stage * model.head_dim * kv.bytes / device.bytes_s  # to read a token of one KV head
        self._token_s = kv_heads * head_s / generation.decode_mbu
        self._longest_s = 0.0 if generation.splits else processors * head_s
        pair_s = 4 * stage * heads * model.head_dim / device.flop_s
        self._first_s, self._later_s = pair_s / generation.first_mfu, pair_s / generation.later_mfu

    def count(self, slices: Sequence[Slice]) -> Count:
        """The hot loop of every simulation."""
        tokens = rows = longest = 0
        context = prefill_s = 0.0
        windowed = self._window > 0
        for _, start, count, samples in slices:
            tokens += count
            if count > few_tokens:
                rows += samples
                prefill_s += self._chunk_s(start, count)
                continue
            end = start + count
            rows += samples * count
            if end > longest:
                longest = end
            context += self._seen(end) if windowed else hypot(end, short_context)
        return Count(tokens, rows, prefill_s, max(context * self._token_s, longest * self._longest_s))

    def _seen(self, end: int) -> float:
        """A context as it costs, the mean of layers with and without a window."""
        near = hypot(min(end, self._window), short_context)
        return self._windowed * near + (1 - self._windowed) * hypot(end, short_context)

    def _chunk_s(self, start: int, count: int) -> float:
        whole_s = self._reach_s(start, count, start + count)
        if not self._windowed:
            return whole_s
        return self._windowed * self._reach_s(start, count, self._window) + (1 - self._windowed) * whole_s

    def _reach_s(self, start: int, count: int, window: int) -> float:
        """A chunk each of whose tokens sees itself and what is before, `window` tokens in all."""
        own = pairs(0, count, window)
        before = pairs(start, count, window) - own
        read = min(start, window) + count
        return hypot(own * self._first_s + before * self._later_s, read * self._token_s)


def pairs(start: int, count: int, window: int) -> float:
    """Of a token of [start, start + count) and one of the last `window` up to itself."""
    growing = max(0, min(count, window - start))  # tokens that see everything
    return growing * (start + (growing + 1) / 2) + (count - growing) * window

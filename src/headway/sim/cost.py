"""What a step costs on a device: a roofline per component, added up.

    linear layers     weights read once, all tokens multiplied
    elementwise       launches, then bandwidth
    attention         a chunk: its pairs of tokens, or its context's keys and values; one token: its context's
    output head       as linear layers, for the rows that are sampled
    host              per step and per sequence

Where a component's two bounds are near each other its time lies above both. hypot(memory, compute) is that
blend; it follows the measurements that `devices.py` cites. Tiles (257 tokens cost more than 256) are left
out, and so is more than one device.
"""

from dataclasses import dataclass
from math import hypot

from headway.core.types import Batch
from headway.sim.devices import Device, Efficiency
from headway.sim.executor import Cost
from headway.spec import ModelSpec

weight_bytes = 2  # of a weight, and of a K or V value: 16 bit


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What of a model decides its cost. Every layer sees the whole context."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True

    @classmethod
    def of(cls, spec: ModelSpec) -> "Dimensions":
        """Raises ValueError for sliding windows shorter than the context: their saving is not modelled."""
        if any(window is not None and window < spec.max_positions for window in spec.windows):
            raise ValueError(f"{spec.family}: the cost of sliding windows is not modelled")
        return cls(
            spec.layers,
            spec.hidden,
            spec.heads,
            spec.kv_heads,
            spec.head_dim,
            spec.ffn,
            spec.vocab,
            spec.gated,
        )

    @property
    def linear_weights(self) -> int:
        """In the matrices of all layers."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + self.hidden * self.ffn * (3 if self.gated else 2))

    @property
    def kv_bytes(self) -> int:
        """Of one token, in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * weight_bytes

    @property
    def elementwise_bytes(self) -> int:
        """Of one token, in all layers: two norms, two sums, rotations (12 x hidden), the activation."""
        return self.layers * weight_bytes * (12 * self.hidden + (3 if self.gated else 2) * self.ffn)


MISTRAL_7B = Dimensions(32, 4096, 32, 8, 128, 14336, 32000)
MPT_7B = Dimensions(32, 4096, 32, 32, 128, 16384, 50432, gated=False)


def roofline(model: Dimensions, device: Device, reached: Efficiency) -> Cost:
    """The cost of a batch, in seconds; 20 to 40 us of our own time for 200 slices."""
    flop_s, bytes_s = device.flop_s, device.bytes_s
    weights_s = weight_bytes * model.linear_weights / (bytes_s * reached.weight_mbu)
    token_s = 2 * model.linear_weights / (flop_s * reached.linear_mfu)
    launches_s = model.layers * reached.layer_s
    passes_s = model.elementwise_bytes / (bytes_s * reached.elementwise_mbu)
    context_s = model.kv_bytes / (bytes_s * reached.kv_mbu)
    pair_flop = 4 * model.layers * model.heads * model.head_dim
    first_pair_s = pair_flop / (flop_s * reached.first_chunk_mfu)
    later_pair_s = pair_flop / (flop_s * reached.later_chunk_mfu)
    head_s = weight_bytes * model.hidden * model.vocab / (bytes_s * reached.weight_mbu)
    row_s = 2 * model.hidden * model.vocab / (flop_s * reached.linear_mfu)
    host_step_s, host_sequence_s = reached.host_step_s, reached.host_sequence_s

    def step_s(batch: Batch) -> float:
        tokens = rows = context = 0
        chunks_s = 0.0
        for _, start, count, samples in batch.slices:
            tokens += count
            rows += samples
            if count == 1:
                context += start + 1
                continue
            pairs = count * (start + 0.5 * (count + 1))
            compute_s = pairs * (later_pair_s if start else first_pair_s)
            chunks_s += max(compute_s, context_s * (start + count))
        linear_s = hypot(weights_s, token_s * tokens) + hypot(launches_s, passes_s * tokens)
        sampled_s = hypot(head_s, row_s * rows) if rows else 0.0
        host_s = host_step_s + host_sequence_s * len(batch.slices)
        return linear_s + chunks_s + context_s * context + sampled_s + host_s

    return step_s

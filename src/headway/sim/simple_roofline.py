"""The plain cost of a step on one device, on which the pinned policy trials run: a roofline per component,
added up.

    linear layers     weights read once, all tokens multiplied
    elementwise       launches, then bandwidth
    attention         a chunk: its pairs of tokens, or its context's keys and values; one token: its context's
    output head       as linear layers, for the rows that are sampled
    host              per step and per sequence

Where a component's two bounds are near each other its time lies above both. hypot(memory, compute) is that
blend. Tiles (257 tokens cost more than 256), windows and more than one device are left out: `cost.py` has
them.
"""

from dataclasses import dataclass
from math import hypot

from headway.core.types import Batch
from headway.sim.devices import Device
from headway.sim.executor import Cost
from headway.sim.models import Dimensions, value_bytes


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Which shares of the peaks the kernels of an engine reach, and what a step costs on the host."""

    weight_mbu: float  # linear layers, a few tokens: their weights are read at this share of the bandwidth
    linear_mfu: float  # linear layers, many tokens
    elementwise_mbu: float  # norms, activations, rotations and sums, many tokens
    layer_s: float  # the same, one token: what the launches of a layer cost
    kv_mbu: float  # attention of one token: the context's keys and values
    first_chunk_mfu: float  # attention of a chunk with nothing before it
    later_chunk_mfu: float  # and of one that sees earlier tokens
    host_step_s: float  # planning, inputs, sampling, publishing: per step
    host_sequence_s: float  # and per sequence in it


# weight_mbu, linear_mfu, elementwise_mbu, layer_s: medians per operation of Llama-3-8B's layer on an
# A100-80, 1 to 4,096 tokens, as microsoft/vidur measured them (MIT); its layer has Mistral-7B's dimensions.
# Blended as below they are met within 9 % at 22 of 23 sizes (264 tokens take 22 % less here: tiles are
# not modelled). Attention: FlashAttention-2's reach on an A100, .6 to .9 of the bandwidth in decode, .3 to
# .6 of the arithmetic in a first chunk, .7 to .8 later. Host: 1 to 2 ms a step for the leanest engines;
# planning here is 1.6 us per sequence (benchmarks/results/2026-11-21-planning.md), taken three times for
# inputs and results.
PRESENT = Efficiency(
    weight_mbu=0.775,
    linear_mfu=0.70,
    elementwise_mbu=0.51,
    layer_s=28e-6,
    kv_mbu=0.70,
    first_chunk_mfu=0.45,
    later_chunk_mfu=0.70,
    host_step_s=1.5e-3,
    host_sequence_s=5e-6,
)


def roofline(model: Dimensions, device: Device, reached: Efficiency) -> Cost:
    """The cost of a batch, in seconds; 20 to 40 us of our own time for 200 slices. Raises ValueError for
    sliding windows: their saving is not modelled here.
    """
    if model.windowed_layers:
        raise ValueError(f"{model.name}: the plain roofline does not model sliding windows")
    flop_s, bytes_s = device.flop_s, device.bytes_s
    weights_s = value_bytes * model.linear_weights / (bytes_s * reached.weight_mbu)
    token_s = 2 * model.linear_weights / (flop_s * reached.linear_mfu)
    launches_s = model.layers * reached.layer_s
    passes_s = model.elementwise_bytes / (bytes_s * reached.elementwise_mbu)
    context_s = model.kv_bytes / (bytes_s * reached.kv_mbu)
    pair_flop = 4 * model.layers * model.heads * model.head_dim
    first_pair_s = pair_flop / (flop_s * reached.first_chunk_mfu)
    later_pair_s = pair_flop / (flop_s * reached.later_chunk_mfu)
    head_s = value_bytes * model.hidden * model.vocab / (bytes_s * reached.weight_mbu)
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

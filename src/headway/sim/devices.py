"""Devices as their makers state them, and how much of that an engine gets out of them.

One set of numbers per device and per generation of engines; no experiment overrides one. Every efficiency
cites what it was fitted on.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """Peaks from the data sheet: dense 16-bit arithmetic, memory, its bandwidth."""

    flop_s: float
    bytes_s: float
    memory_bytes: float


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


A100_40 = Device(312e12, 1555e9, 40e9)
A100_80 = Device(312e12, 2039e9, 80e9)

# weight_mbu, linear_mfu, elementwise_mbu, layer_s: medians per operation of Llama-3-8B's layer on an
# A100-80, 1 to 4,096 tokens, as microsoft/vidur measured them (MIT); its layer has Mistral-7B's dimensions.
# Blended as in cost.py they are met within 9 % at 22 of 23 sizes (264 tokens take 22 % less here: tiles are
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

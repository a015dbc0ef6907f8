"""How long one step of the decoder takes, forward and logits, on this machine: decodes and prompts.

    python benchmarks/decoder_step.py [--threads 2] [--context 160]

Weights are random, in the shape of SmolLM2-135M in float32, so nothing is fetched. Torch's own parts and the
native kernels take turns, step by step. Each line gives the median and the least of both, and the floor: the
larger of its bytes (weights once, every sequence's K/V) over the rate of a long read, and its operations over
the rate of a large product, both measured here first.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from headway.kernels.library import load_kernels
from headway.model.decoder import Decoder
from headway.model.inputs import SequenceInputs, StepInputs
from headway.model.kv import KVCache
from headway.model.layers import Linear
from headway.model.native import native_parts
from headway.model.parts import Parts, plain_parts
from headway.spec import ModelSpec, Rope

LAYERS = 30
SMOLLM2 = ModelSpec(
    family="llama",
    layers=LAYERS,
    hidden=576,
    heads=9,
    kv_heads=3,
    head_dim=64,
    ffn=1536,
    vocab=49152,
    max_positions=8192,
    norm_eps=1e-5,
    ropes=(Rope(1e5),) * LAYERS,
    windows=(None,) * LAYERS,
    attention_scale=0.125,
    tied=True,
)
BLOCK = 16


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--context", type=int, default=160, help="tokens that a decode's sequence holds")
    options.add_argument("--steps", type=int, default=7)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    read_rate, product_rate = reading_bytes_s(), product_flop_s()
    print(f"{read_rate / 1e9:.1f} GB/s read, {product_rate / 1e9:.0f} GFLOP/s, {given.threads} threads")
    kernels = load_kernels()
    decoders = [decoder_of(plain_parts(SMOLLM2)), decoder_of(native_parts(SMOLLM2, kernels))]
    steps = [(batch, given.context, 1) for batch in (1, 4, 16, 32, 64)]
    steps += [(1, 0, 128), (1, 0, 512), (1, 512, 512), (32, 0, 128)]
    for sequences, start, count in steps:
        plain, native = durations(decoders, sequences, start, count, given.steps)
        floor = max(
            moved_bytes(sequences, start + count) / read_rate,
            operations(sequences, start, count) / product_rate,
        )
        print(
            f"{sequences:3} x {count:3} tokens after {start:4}: plain {shown(plain)}, "
            f"native {shown(native)}, floor {floor * 1e3:.1f}; "
            f"{sequences * count / statistics.median(native):6.0f} tok/s",
            flush=True,
        )


def shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:7.1f} ms (least {min(seconds) * 1e3:.1f})"


def decoder_of(parts: Parts) -> Decoder:
    random = torch.Generator().manual_seed(1)
    weights = {name: torch.randn(shape, generator=random) * 0.02 for name, shape in SMOLLM2.tensors()}
    return Decoder(SMOLLM2, weights, parts)


def durations(
    decoders: list[Decoder], sequences: int, start: int, count: int, steps: int
) -> list[list[float]]:
    """Seconds of each decoder's steps, after two that are not counted."""
    inputs = step_of(sequences, start, count)
    kv = KVCache(SMOLLM2, 1 + max(int(s.table.max()) for s in inputs.sequences), BLOCK, torch.float32)
    for layer in kv.layers:
        layer.normal_()
    rounds = [[seconds_of(decoder, inputs, kv) for decoder in decoders] for _ in range(steps + 2)]
    return [list(each) for each in zip(*rounds[2:], strict=True)]


def seconds_of(decoder: Decoder, inputs: StepInputs, kv: KVCache) -> float:
    begun = time.perf_counter()
    decoder.logits(decoder.forward(inputs, kv))
    return time.perf_counter() - begun


def step_of(sequences: int, start: int, count: int) -> StepInputs:
    """Equal sequences whose blocks lie in scattered order."""
    width = -(-(start + count) // BLOCK)
    tables = torch.randperm(sequences * width, generator=torch.Generator().manual_seed(1)).view(
        sequences, width
    )
    positions = torch.arange(start, start + count)
    slots = tables[:, positions // BLOCK] * BLOCK + positions % BLOCK
    return StepInputs(
        torch.arange(sequences * count),
        positions.repeat(sequences),
        slots.flatten(),
        torch.arange(sequences) * count + count - 1,
        [SequenceInputs(i * count, count, start, tables[i]) for i in range(sequences)],
    )


def moved_bytes(sequences: int, context: int) -> int:
    """Every weight once (the tied embedding as the head), every sequence's K and V once."""
    return 4 * SMOLLM2.parameters + sequences * context * SMOLLM2.kv_bytes_per_token(4)


def operations(sequences: int, start: int, count: int) -> int:
    """Two for each weight and token, the head only for last tokens; scores and mixing of what is seen."""
    head = SMOLLM2.vocab * SMOLLM2.hidden
    linear = 2 * sequences * (count * (SMOLLM2.parameters - head) + head)
    seen = count * start + count * (count + 1) // 2
    return linear + 4 * sequences * seen * SMOLLM2.heads * SMOLLM2.head_dim * LAYERS


def reading_bytes_s() -> float:
    """Of a sum over 256 MiB."""
    data = torch.ones(64 << 20)
    return data.nbytes / min(timed(data.sum, 5))


def product_flop_s() -> float:
    """Of the map that the decoder itself uses, at 512 rows."""
    linear, x = Linear(torch.randn(1536, 1536)), torch.randn(512, 1536)
    return 2 * 512 * 1536 * 1536 / min(timed(lambda: linear(x), 5))


def timed(call: Callable[[], object], times: int) -> list[float]:
    seconds = []
    for i in range(times + 2):
        begun = time.perf_counter()
        call()
        if i >= 2:
            seconds.append(time.perf_counter() - begun)
    return seconds


if __name__ == "__main__":
    main()

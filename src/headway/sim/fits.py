"""Every fitted number of the cost model: per family of devices, and per generation of engines.

One set each, and no experiment overrides one. A comment at each says what it was fitted on, or that it is
assumed. "vidur" are the medians of linear operations and all-reduces that microsoft/vidur measured and
publishes (MIT); `python benchmarks/fit_cost.py --data DIR` fits them again and compares.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkFit:
    """An all-reduce: its latency, and bytes through a ring at `share` of the link's one-way peak, blended."""

    share: float
    blend: float  # exponent: 1 is the sum, many the larger


@dataclass(frozen=True, slots=True)
class Family:
    """What the kernels of today's libraries reach on one family of devices, and its links."""

    # A linear operation: its weights read, its tokens multiplied, blended; and what each costs beside.
    weight_mbu: float
    linear_mfu: float
    linear_blend: float
    operation_s: float
    tile: int  # over `whole_tiles` tokens, they are padded to multiples of it,
    tile_share: float  # of which padding this share costs time
    # Norms, rotations, activation, sums: one row's latency, all rows' bytes, blended.
    layer_s: float
    column_s: float  # per value that a row has in its norms and its activation
    elementwise_mbu: float
    elementwise_blend: float
    message_s: float  # an all-reduce's latency, on any link of a node: launches bind it
    switch: LinkFit  # NVLink among all GPUs of a node
    pair: LinkFit  # NVLink over a bridge
    pcie: LinkFit


whole_tiles = 256  # tokens: up to here a kernel with tiles that fit is chosen

# Linear operations: vidur's A100-80, Llama-3-8B and Llama-2-70B, TP 1 to 8, 1 to 4,096 tokens: sums of a
# layer within 2.9 % (median; at most 19 %) on 184 rows. Elementwise: the same rows, 4.4 % (at most 28 %).
# Latency of messages: the median of those under 200 kB on both links. Pair: vidur's two A100s on an NVLink
# bridge, within 5.6 % (median; 4.9 % from 1 MB). PCIe: its four A100s bridged in pairs, whose ring crosses
# PCIe: 1.5 % (0.8 %). Switch: the pair's numbers, an assumption: vidur's "a100_dgx" moves 11 GB/s among two
# or four and 28 among eight, about what PCIe does, so those rows are no NVSwitch's and are left out.
_bridge = LinkFit(share=0.606, blend=1.81)
_ampere = Family(
    weight_mbu=0.814,
    linear_mfu=0.734,
    linear_blend=1.76,
    operation_s=6.4e-6,
    tile=128,
    tile_share=0.79,
    layer_s=6.85e-6,
    column_s=0.814e-9,
    elementwise_mbu=0.486,
    elementwise_blend=2.04,
    message_s=58.5e-6,
    switch=_bridge,
    pair=_bridge,
    pcie=LinkFit(share=0.740, blend=1.01),
)

# Linear operations: vidur's H100, Llama-2-7B and -70B: within 4.0 % (median; at most 31 %) on 184 rows.
# Elementwise: 3.8 % (at most 22 %). Latency: as above, on all three; it scatters from 7 to 41 us. Switch: its
# "h100_dgx", 2, 4 and 8 GPUs: within 11 % (3.3 % from 1 MB). Pair: 4.6 % (0.9 %). PCIe: four in pairs, 7.7 %
# (4.8 %).
_hopper = Family(
    weight_mbu=0.939,
    linear_mfu=0.734,
    linear_blend=1.614,
    operation_s=5.48e-6,
    tile=256,
    tile_share=0.59,
    layer_s=7.87e-6,
    column_s=0.562e-9,
    elementwise_mbu=0.518,
    elementwise_blend=3.13,
    message_s=28e-6,
    switch=LinkFit(share=0.760, blend=1.09),
    pair=LinkFit(share=0.600, blend=1.71),
    pcie=LinkFit(share=0.730, blend=1.0),
)

FAMILIES = {"ampere": _ampere, "hopper": _hopper}

# Seconds that a send of so many bytes takes over 100 Gb Ethernet between two nodes, as measured between the
# two nodes of four A100s on which Falcon-180B was served. Straight lines between; beyond, the last's rate.
ETHERNET_SENDS = ((0, 30e-6), (1_000_000, 0.14e-3), (4_000_000, 0.84e-3), (16_000_000, 7.4e-3))
send_latency_s = 20e-6  # within a node, assumed; the bytes go at 300 GB/s over 600 GB/s of NVLink (measured)

# A sampler takes 25 us for one row and 300 us for 128 (published measurements of A100s).
sampler_s, sampler_row_s = 25e-6, 2.15e-6

widening = 0.9  # of the 16-bit rate, where weights are widened in the kernel: Marlin's reach, assumed


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine of its time makes of a device: attention kernels, its host, its collectives.

    The host's share is added to every step: `host_step_s` + `host_sequence_s` x sequences, and with several
    ranks `ranks_layer_s` x layers + `ranks_sequence_s` x sequences beside.
    """

    name: str
    decode_mbu: float  # attention of a token over a long context: K and V read at this share of bandwidth
    first_mfu: float  # attention within a chunk: its own tokens' pairs, half of them masked
    later_mfu: float  # attention of a chunk to what lies before it
    host_step_s: float
    host_sequence_s: float
    ranks_layer_s: float = 0.0
    ranks_sequence_s: float = 0.0
    linear: float = 1.0  # share of the family's `linear_mfu`
    weight: float = 1.0  # share of the family's `weight_mbu`
    elementwise: float = 1.0  # times the family's elementwise seconds
    splits: bool = True  # a long context is read by many processors, not by one
    all_reduce_s: float | None = None  # latency of its own small all-reduce kernel; None: the library's


short_context = 128  # tokens: a context costs hypot(it, this), .6 of `decode_mbu` at 96; published, as below
processors = 108  # an A100's: one alone reads no more than its part of the bandwidth; assumed of others

# Attention of today: FlashAttention-2 and FlashInfer as published for A100s, .6 to .9 of the bandwidth in
# decode (.4 to .6 in short contexts), .3 to .6 of the arithmetic in a first chunk, .7 to .8 later.
# Host: as measured for this engine (`PRESENT` in simple_roofline.py cites it).
HEADWAY = Generation("headway", 0.80, 0.45, 0.72, host_step_s=1.5e-3, host_sequence_s=5e-6)

# vLLM as of 2023. Host: about 3 ms + 0.3 ms per sequence, as engines of that time are known to have had. With
# several ranks: fitted on two measured decode steps of Yi-34B on two A100-80 PCIe (one and 128 sequences of
# 1,024 tokens: 46.8 and 189.3 ms; Sarathi-Serve, OSDI 2024). Attention: PagedAttention's first kernel, one
# processor per sequence and head; its reach is the range's lower end, assumed.
VLLM_2023 = Generation(
    "vllm-2023",
    decode_mbu=0.60,
    first_mfu=0.40,
    later_mfu=0.70,
    splits=False,
    host_step_s=3e-3,
    host_sequence_s=0.3e-3,
    ranks_layer_s=0.156e-3,
    ranks_sequence_s=0.651e-3,
)

# The engine that Sarathi-Serve's paper ran vLLM's, Orca's and its own scheduler on: vLLM's of 2023, but with
# FlashAttention-2, whose decode kernel splits a long context (`flash_attn_with_kvcache` for all schedulers in
# microsoft/sarathi-serve). All else is as above; the same two decode steps, fitted with this kernel,
# give other numbers for several ranks.
SARATHI_SERVE = Generation(
    "sarathi-serve",
    decode_mbu=0.60,
    first_mfu=0.40,
    later_mfu=0.70,
    host_step_s=3e-3,
    host_sequence_s=0.3e-3,
    ranks_layer_s=0.183e-3,
    ranks_sequence_s=0.638e-3,
)

# FasterTransformer: fitted on MPT-7B on an A100-40, 512 tokens in, 64 out, batches of 1 to 64 (MosaicML,
# 2023): matrices at MFU .60 in prefill and MBU .78 in decode, 4 ms a step. All-reduce: 8 to 15 us, as engines
# see whose launches do not bind it; not measured for this one.
FASTER_TRANSFORMER = Generation(
    "faster-transformer",
    decode_mbu=0.56,
    first_mfu=0.40,
    later_mfu=0.70,
    linear=0.82,
    weight=0.96,
    host_step_s=4e-3,
    host_sequence_s=0.0,
    all_reduce_s=12e-6,
)

# Hugging Face transformers of 2023, static batches: 25 to 30 ms of host a step, the middle. Attention: not
# fused, a third of FlashAttention's reach in prefill, as its paper has its baseline. Elementwise passes: not
# fused either, about three times as many, assumed.
HUGGING_FACE_2023 = Generation(
    "hugging-face-2023",
    decode_mbu=0.40,
    first_mfu=0.15,
    later_mfu=0.15,
    elementwise=3.0,
    host_step_s=27.5e-3,
    host_sequence_s=0.0,
)

# Text Generation Inference of 2023: 1 to 2 ms of host for a single user, where vLLM had 5 to 8; per sequence:
# assumed, a third of vLLM's. Kernels: FlashAttention, as vLLM's.
TGI_2023 = Generation(
    "tgi-2023",
    decode_mbu=0.60,
    first_mfu=0.40,
    later_mfu=0.70,
    splits=False,
    host_step_s=1.5e-3,
    host_sequence_s=0.1e-3,
)

_generations = (HEADWAY, VLLM_2023, SARATHI_SERVE, FASTER_TRANSFORMER, HUGGING_FACE_2023, TGI_2023)
GENERATIONS = {generation.name: generation for generation in _generations}


def generation(name: str) -> Generation:
    """Raises ValueError naming those that there are."""
    if name not in GENERATIONS:
        raise ValueError(f"generation {name!r} is not known; known: {', '.join(GENERATIONS)}")
    return GENERATIONS[name]

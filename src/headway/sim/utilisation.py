"""How much of the devices a step uses, as docs/definitions.md has it: MBU, MFU, and what binds."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Literal, NamedTuple

from headway.core.types import Slice
from headway.sim.devices import Device
from headway.sim.models import Dimensions, value_bytes
from headway.sim.precision import Precision, flop_s


class Utilisation(NamedTuple):
    mbu: float  # bytes moved, weights once and KV read, over seconds and the peak bandwidth of all GPUs
    mfu: float  # operations, 2 x parameters x tokens and attention, over seconds and their peak rate
    bound_by: Literal[
        "memory", "compute"
    ]  # memory: a larger batch costs little more; compute: it does not help


class Traffic(NamedTuple):
    """What a batch asks of the devices."""

    bytes: float
    operations: float


def traffic(model: Dimensions, weights: Precision, kv: Precision, slices: Sequence[Slice]) -> Traffic:
    """Bytes moved and operations, in all layers. A window reads and computes no more."""
    tokens, rows = sum(s.count for s in slices), sum(s.samples for s in slices)
    full = model.layers - model.windowed_layers
    contexts = pairs = 0.0  # of a layer's tokens, times layers
    for _, start, count, _samples in slices:
        end = start + count
        contexts += full * end + model.windowed_layers * min(end, model.window + count)
        seen = start + (count + 1) / 2
        pairs += count * (full * seen + model.windowed_layers * min(seen, model.window))
    return _traffic(model, weights, kv, tokens, rows, contexts, pairs)


def traffic_of_decodes(
    model: Dimensions, weights: Precision, kv: Precision, slices: Sequence[Slice]
) -> Traffic:
    """The same, of slices of one token that all sample, in a model without windows: in a twentieth of the
    time."""
    contexts = float(model.layers * (sum(map(_start, slices)) + len(slices)))
    return _traffic(model, weights, kv, len(slices), len(slices), contexts, contexts)


_start = itemgetter(1)


def _traffic(
    model: Dimensions, weights: Precision, kv: Precision, tokens: int, rows: int, contexts: float,
    pairs: float,
) -> Traffic:  # fmt: skip
    head = model.vocab * model.hidden if rows else 0
    kv_bytes = contexts * model.kv_values / model.layers * kv.bytes
    moved = model.linear_weights * weights.bytes + head * value_bytes + kv_bytes
    head_operations = model.vocab * model.hidden * rows
    attention = 4 * model.heads * model.head_dim * pairs
    return Traffic(moved, 2 * (model.linear_weights * tokens + head_operations) + attention)


def utilisation(asked: Traffic, device: Device, gpus: int, weights: Precision, seconds: float) -> Utilisation:
    """Of what took so many seconds, on all GPUs together."""
    mbu = asked.bytes / (seconds * gpus * device.bytes_s)
    mfu = asked.operations / (seconds * gpus * flop_s(device, weights))
    return Utilisation(mbu, mfu, "memory" if mbu > mfu else "compute")

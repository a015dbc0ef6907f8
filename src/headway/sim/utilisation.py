"""How much of the devices a step uses, as docs/definitions.md has it: MBU, MFU, and what binds."""

from typing import Literal, NamedTuple

from headway.core.types import Batch
from headway.sim.devices import Device
from headway.sim.models import Dimensions, value_bytes
from headway.sim.precision import Precision, flop_s


class Utilisation(NamedTuple):
    mbu: float  # bytes moved, weights once and KV read, over seconds and the peak bandwidth of all GPUs
    mfu: float  # operations, 2 x parameters x tokens and attention, over seconds and their peak rate
    bound_by: Literal[
        "memory", "compute"
    ]  # memory: a larger batch costs little more; compute: it does not help


def utilisation(
    model: Dimensions, device: Device, gpus: int, weights: Precision, kv: Precision, batch: Batch,
    seconds: float,
) -> Utilisation:  # fmt: skip
    """Of a batch that took so many seconds, on all GPUs together. A window reads and computes no more."""
    slices = batch.slices
    head = model.vocab * model.hidden if any(s.samples for s in slices) else 0
    tokens, rows = sum(s.count for s in slices), sum(s.samples for s in slices)
    full = model.layers - model.windowed_layers
    contexts = pairs = 0.0  # of a layer's tokens, times layers
    for _, start, count, _samples in slices:
        end = start + count
        contexts += full * end + model.windowed_layers * min(end, model.window + count)
        seen = start + (count + 1) / 2
        pairs += count * (full * seen + model.windowed_layers * min(seen, model.window))
    kv_bytes = contexts * model.kv_values / model.layers * kv.bytes
    moved = model.linear_weights * weights.bytes + head * value_bytes + kv_bytes
    operations = 2 * (model.linear_weights * tokens + head * rows) + 4 * model.heads * model.head_dim * pairs
    mbu = moved / (seconds * gpus * device.bytes_s)
    mfu = operations / (seconds * gpus * flop_s(device, weights))
    return Utilisation(mbu, mfu, "memory" if mbu > mfu else "compute")

"""What a model takes of each GPU's memory, and how many KV blocks that leaves."""

from headway.rounding import ceil_div
from headway.sim.devices import Device
from headway.sim.models import Dimensions, value_bytes
from headway.sim.precision import Precision

logit_rows, logit_bytes = 256, 4  # sampled at a time, in 32 bit


class DoesNotFit(ValueError):
    """The memory does not hold it; the message has the numbers."""


def weight_bytes(model: Dimensions, precision: Precision, tp: int, pp: int) -> float:
    """Of the fullest GPU: its part of its stage's layers, of the embedding and of the head."""
    layers = model.linear_weights / model.layers * ceil_div(model.layers, pp) * precision.bytes
    tables = 1 if model.tied or pp > 1 else 2  # in a pipeline they lie on different stages
    return (layers + tables * model.vocab * model.hidden * value_bytes) / tp


def activation_bytes(model: Dimensions, tokens: int, tp: int) -> float:
    """Of a step of so many tokens: residual, norm, attention's input and output; the MLP's; the logits."""
    attention = 4 * model.hidden + (model.heads + 2 * model.kv_heads) * model.head_dim / tp
    mlp = (2 if model.gated else 1) * model.ffn / tp
    logits = min(tokens, logit_rows) * model.vocab * logit_bytes / tp
    return tokens * (attention + mlp) * value_bytes + logits


def kv_token_bytes(model: Dimensions, precision: Precision, tp: int, pp: int) -> float:
    """Of one token on the fullest GPU. Where ranks outnumber KV heads, a head is held by several."""
    heads = ceil_div(model.kv_heads, tp)
    return 2 * ceil_div(model.layers, pp) * heads * model.head_dim * precision.bytes


def kv_blocks(
    model: Dimensions, device: Device, budget: float, weights: float, activations: float,
    token_bytes: float, block_size: int,
) -> int:  # fmt: skip
    """How many blocks of `block_size` tokens the budget, in bytes a GPU, holds. Raises DoesNotFit."""
    blocks = int((budget - weights - activations) // (token_bytes * block_size))
    if blocks < 1:
        raise DoesNotFit(
            f"{model.name} does not fit on {device.name}: each GPU holds {_gb(weights)} of weights and "
            f"{_gb(activations)} of activations, and has {_gb(budget)} of {_gb(device.memory_bytes)} to use; "
            "more GPUs (TP, PP), fewer bits, or a larger device"
        )
    return blocks


def _gb(bytes: float) -> str:
    return f"{bytes / 1e9:.1f} GB"

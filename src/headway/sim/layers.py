"""What of a step depends on its tokens alone: matrices, elementwise passes, messages; and the output head.

All seconds are those of one pipeline stage, its layers rounded up, on one of its GPUs.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headway.rounding import ceil_div
from headway.sim.devices import Device
from headway.sim.fits import FAMILIES, Family, Generation, sampler_row_s, sampler_s, whole_tiles, widening
from headway.sim.interconnect import Link, all_reduce_s, all_to_all_s, send_s
from headway.sim.models import Dimensions, value_bytes
from headway.sim.precision import Precision, flop_s


@dataclass(frozen=True, slots=True)
class Layout:
    """How a model lies on its GPUs."""

    tp: int = 1
    pp: int = 1
    link: Link = Link.NVLINK  # among the GPUs of a stage
    stage_link: Link = Link.NVLINK  # from stage to stage
    sequence_parallel: bool = False  # of degree `tp`, in its place


class Stage(NamedTuple):
    linear: float
    elementwise: float
    communication: float


class Layers:
    def __init__(
        self, model: Dimensions, device: Device, layout: Layout, weights: Precision, generation: Generation
    ) -> None:
        self._model, self._device, self._layout, self._generation = model, device, layout, generation
        self._fit = FAMILIES[device.family]
        self._split = 1 if layout.sequence_parallel else layout.tp  # of matrices
        self._layers = ceil_div(model.layers, layout.pp)
        rate = flop_s(device, weights)
        widened = weights is not Precision.BITS16 and rate == device.flop_s
        self._linear = self._rates(rate * (widening if widened else 1.0), weights.bytes)
        self._head = self._rates(device.flop_s, value_bytes)

    def _rates(self, flop_s: float, bytes: float) -> tuple[float, float]:
        """Seconds of a weight: to read it, and to multiply it with one token."""
        read = bytes / (self._device.bytes_s * self._fit.weight_mbu * self._generation.weight)
        return read, 2 / (flop_s * self._fit.linear_mfu * self._generation.linear)

    def stage(self, tokens: int) -> Stage:
        """A step of so many tokens. In sequence parallelism each GPU has its part of them."""
        own = ceil_div(tokens, self._layout.tp // self._split)
        linear_s = sum(
            matrix_s(self._fit, weights, own, *self._linear) for weights in matrices(self._model, self._split)
        )
        passes_s = elementwise_s(self._fit, self._model, self._split, own, self._device.bytes_s)
        return Stage(
            self._layers * linear_s,
            self._layers * passes_s * self._generation.elementwise,
            self._communication_s(tokens),
        )

    def head(self, rows: int) -> float:
        """The logits of so many rows, and sampling from them."""
        if not rows:
            return 0.0
        weights = self._model.hidden * self._model.vocab / self._layout.tp
        return matrix_s(self._fit, weights, rows, *self._head) + sampler_s + sampler_row_s * rows

    def _communication_s(self, tokens: int) -> float:
        model, layout, own_s = self._model, self._layout, self._generation.all_reduce_s
        message = model.all_reduce_bytes(tokens)
        if layout.sequence_parallel:
            # One GPU's tokens of Q, K and V for its heads of all tokens; then back, the output.
            heads = (model.heads + 2 * model.kv_heads) * model.head_dim / model.hidden
            one_s = all_to_all_s(self._device, layout.link, layout.tp, heads * message / layout.tp, own_s)
            two_s = all_to_all_s(self._device, layout.link, layout.tp, message / layout.tp, own_s)
            total_s = self._layers * (one_s + two_s)
        else:
            each_s = all_reduce_s(self._device, layout.link, layout.tp, message, own_s)
            total_s = self._layers * model.all_reduces / model.layers * each_s
        if layout.pp > 1:
            total_s += send_s(self._device, layout.stage_link, message)
        return total_s


def matrices(model: Dimensions, split: int) -> tuple[float, ...]:
    """Weights of a layer's matrices on one of `split` GPUs: QKV, output, up with gate, down."""
    attention = model.heads * model.head_dim / split
    kv = max(1, model.kv_heads / split) * model.head_dim  # whole heads: they may be held twice
    up = model.ffn * (2 if model.gated else 1) / split
    hidden = model.hidden
    return hidden * (attention + 2 * kv), hidden * attention, hidden * up, hidden * model.ffn / split


def matrix_s(fit: Family, weights: float, tokens: int, memory: float, compute: float) -> float:
    """Seconds of one operation; `memory` and `compute` are those of a weight, and of a weight and token."""
    blend = fit.linear_blend
    memory_s = weights * memory
    compute_s = weights * compute * padded(tokens, fit.tile, fit.tile_share)
    return float((memory_s**blend + compute_s**blend) ** (1 / blend)) + fit.operation_s


def padded(tokens: int, tile: int, share: float) -> float:
    """How many tokens' time a matrix takes: past `whole_tiles`, a last tile that is not full costs more."""
    if tokens <= whole_tiles:
        return tokens
    return tokens + share * (ceil_div(tokens, tile) * tile - tokens)


def elementwise_s(fit: Family, model: Dimensions, split: int, tokens: int, bytes_s: float) -> float:
    """Seconds of one layer. Norms (4 x hidden) and sums (3 x hidden) are whole on every GPU; rotations of Q
    and K and the activation are split.
    """
    ffn = model.ffn / split
    rotated = 2 * (model.heads + model.kv_heads) * model.head_dim / split
    token_bytes = value_bytes * (7 * model.hidden + rotated + (3 if model.gated else 2) * ffn)
    row_s = fit.layer_s + fit.column_s * (2 * model.hidden + ffn)
    passes_s = tokens * token_bytes / (bytes_s * fit.elementwise_mbu)
    blend = fit.elementwise_blend
    return float((row_s**blend + passes_s**blend) ** (1 / blend))

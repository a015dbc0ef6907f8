"""The parts that every family is built of: linear maps, norms, activations.

Owns arithmetic on [T, ...] rows. Knows no cache, no attention and no family.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from headway.spec.model import Activation


class Norm(Protocol):
    """`x` is normed, after `added` came to it in place: a residual is added where it is next read."""

    def __call__(self, x: Tensor, added: Tensor | None = None) -> Tensor: ...


def _has_packed_linear() -> bool:
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear:
    """y = x W^T + b, with W [out, in] laid out once in the order that oneDNN's multiplication reads it.

    Packed, 1 / 4 / 16 / 64 / 256 rows through a 135M model's layers took 13 / 12 / 22 / 71 / 252 ms on two
    cores beside 30 / 45 / 55 / 119 / 345 ms unpacked. Where torch has no oneDNN the plain product is used.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._packed = weight.device.type == "cpu" and _has_packed_linear()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self._packed else weight
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
            return y
        return functional.linear(x, self._weight, self._bias)


class RMSNorm:
    """x / sqrt(mean(x^2) + eps) * w over the last dimension d, in float32, given back in x's dtype.

    Written as x * (w sqrt(d)) / hypot(|x|, sqrt(d eps)): four small operations where torch makes seven on a
    CPU. A 135M model's decode took 31 ms instead of 33, sixteen took 54 instead of 57.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        dim = weight.shape[0]
        self._weight = weight.float() * dim**0.5
        self._floor = torch.tensor((dim * eps) ** 0.5)

    def __call__(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        if added is not None:
            x += added
        wide = x.float()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return torch.mul(wide, self._weight).div_(torch.hypot(length, self._floor)).to(x.dtype)


class LayerNorm:
    """(x - mean) / deviation * w + b over the last dimension."""

    def __init__(self, weight: Tensor, bias: Tensor | None, eps: float) -> None:
        self._weight, self._bias, self._eps = weight, bias, eps

    def __call__(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        if added is not None:
            x += added
        return functional.layer_norm(x, self._weight.shape, self._weight, self._bias, self._eps)


def silu(x: Tensor) -> Tensor:
    return functional.silu(x)


def gelu(x: Tensor) -> Tensor:
    return functional.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
}

"""Rotary positions (RoPE, arXiv 2104.09864): from a Rope's numbers to the rotation of one step's tokens.

Owns the frequencies, their scalings and the rotation. Knows no layer.
"""

import math
from typing import assert_never

import torch
from torch import Tensor

from headway.spec import DivisorScaling, LinearScaling, Llama3Scaling, Rope, YarnScaling


class Angles:
    """The rotation of a step's tokens, made once a step for all layers that share a Rope."""

    def __init__(self, rope: Rope, positions: Tensor, head_dim: int, dtype: torch.dtype) -> None:
        cos, sin = cosines_and_sines(rope, positions, head_dim)
        self._cos = torch.cat((cos, cos), dim=1).unsqueeze(1).to(dtype)  # [T, 1, D]
        self._sin = torch.cat((-sin, sin), dim=1).unsqueeze(1).to(dtype)  # the sign of rotate-half is in here

    def rotate_(self, heads: Tensor) -> None:
        """Turn heads [T, n, D] in place: dimension i with i + D/2."""
        swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
        heads.mul_(self._cos).addcmul_(swapped, self._sin)


def cosines_and_sines(rope: Rope, positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """float32 [T, head_dim / 2] each: how far the tokens at `positions` [T] are turned."""
    angle = positions.unsqueeze(1).float() * inverse_frequencies(rope, head_dim)
    scale = rope.scaling.attention_factor if isinstance(rope.scaling, YarnScaling) else 1.0
    return angle.cos() * scale, angle.sin() * scale


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """float32 [head_dim / 2], radians a position."""
    plain = 1.0 / (rope.theta ** (torch.arange(0, head_dim, 2).float() / head_dim))
    match rope.scaling:
        case None:
            return plain
        case LinearScaling(factor):
            return plain / factor
        case DivisorScaling(divisors):
            return plain / torch.tensor(divisors)
        case Llama3Scaling():
            return _llama3(plain, rope.scaling)
        case YarnScaling():
            return _yarn(plain, rope.scaling, rope.theta, head_dim)
        case _:
            assert_never(rope.scaling)


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    turns = scaling.original_max_positions * plain / (2 * math.pi)  # in the context it was trained on
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    return _blend(plain / scaling.factor, plain, kept)


def _yarn(plain: Tensor, scaling: YarnScaling, theta: float, head_dim: int) -> Tensor:
    def dimension(turns: float) -> float:
        """Where a frequency makes that many turns in the context it was trained on (YaRN, section 3.2)."""
        wavelength = scaling.original_max_positions / (turns * 2 * math.pi)
        return head_dim * math.log(wavelength) / (2 * math.log(theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = high - low if high != low else 0.001
    kept = 1.0 - (torch.arange(head_dim // 2).float() - low) / width
    return _blend(plain / scaling.factor, plain, kept)


def _blend(divided: Tensor, plain: Tensor, kept: Tensor) -> Tensor:
    """From divided (share 0 and below) to plain (share 1 and above)."""
    share = kept.clamp(0.0, 1.0)
    return divided * (1.0 - share) + plain * share

"""Attention between its two projections, by torch's own parts: norm and turn heads, write K and V, mix.

Owns what all layers with the same window or the same rotation share in a step.
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from headway.model.attention import Call, attend, plan_attention
from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.layers import RMSNorm
from headway.model.rope import Angles
from headway.spec import ModelSpec, Rope


class Shared(NamedTuple):
    slots: Tensor  # int64 [T]
    calls: list[Call]
    angles: Angles


PlainStep = Mapping[tuple[int | None, Rope], Shared]


class PlainMixing:
    """Torch's parts, for any head dimension and dtype."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def mixer(self, window: int | None, rope: Rope, norms: tuple[Tensor, Tensor] | None) -> "PlainMixer":
        return PlainMixer(self._spec, window, rope, norms)

    def plan(self, inputs: StepInputs, kv: KVCache) -> PlainStep:
        spec, dtype = self._spec, kv.dtype
        calls = {w: plan_attention(inputs, kv, spec.heads, w) for w in set(spec.windows)}
        angles = {rope: Angles(rope, inputs.positions, spec.head_dim, dtype) for rope in set(spec.ropes)}
        kinds = set(zip(spec.windows, spec.ropes, strict=True))
        return {(w, rope): Shared(inputs.slots, calls[w], angles[rope]) for w, rope in kinds}


class PlainMixer:
    """One layer's."""

    def __init__(
        self, spec: ModelSpec, window: int | None, rope: Rope, norms: tuple[Tensor, Tensor] | None
    ) -> None:
        self._heads, self._kv_heads, self._dim = spec.heads, spec.kv_heads, spec.head_dim
        self._scale = spec.attention_scale
        self._kind = (window, rope)
        self._norms = None if norms is None else [RMSNorm(weight, spec.norm_eps) for weight in norms]

    def __call__(self, qkv: Tensor, step: PlainStep, cache: Tensor) -> Tensor:
        shared = step[self._kind]
        heads = qkv.view(len(qkv), self._heads + 2 * self._kv_heads, self._dim)
        turning = heads[:, : self._heads + self._kv_heads]
        if self._norms is not None:
            q_norm, k_norm = self._norms
            turning[:, : self._heads] = q_norm(turning[:, : self._heads])
            turning[:, self._heads :] = k_norm(turning[:, self._heads :])
        shared.angles.rotate_(turning)
        for slots, new in zip(cache.flatten(1, 2), heads[:, self._heads :].chunk(2, dim=1), strict=True):
            slots.index_copy_(0, shared.slots, new)
        return attend(heads[:, : self._heads], cache, shared.calls, self._scale)

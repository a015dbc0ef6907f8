"""A decoder-only transformer over flattened tokens and a paged cache: one call a step.

Owns how a family's block is put together from ModelSpec's switches. Knows no requests, no sampling, no files.

    tokens [T] -> embed -> layers: x += attention(norm x); x += mlp(norm x) -> norm -> the wanted rows -> head
"""

from typing import NamedTuple

import torch
from torch import Tensor

from headway.model.attention import Call, attend, plan_attention
from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.layers import ACTIVATIONS, LayerNorm, Linear, Norm, RMSNorm
from headway.model.rope import Angles
from headway.spec import ModelSpec, Rope


class Step(NamedTuple):
    """What all layers share in one step, by the window or the rotation that a layer uses."""

    slots: Tensor  # int64 [T]
    calls: dict[int | None, list[Call]]
    angles: dict[Rope, Angles]


class Weights:
    """One layer's tensors by their short names, each handed out once: none is held in two layouts."""

    def __init__(self, tensors: dict[str, Tensor], prefix: str) -> None:
        self._tensors, self._prefix = tensors, prefix

    def take(self, name: str) -> Tensor:
        return self._tensors.pop(self._prefix + name)

    def linear(self, name: str) -> Linear:
        return Linear(self.take(name), self._tensors.pop(f"{self._prefix}{name}.bias", None))

    def norm(self, name: str, spec: ModelSpec) -> Norm:
        if spec.norm == "layer":
            return LayerNorm(self.take(name), self.take(f"{name}.bias"), spec.norm_eps)
        return RMSNorm(self.take(name), spec.norm_eps)


class Attention:
    """One layer's attention: project, turn by position, write K/V to the cache, mix, project back."""

    def __init__(self, spec: ModelSpec, weights: Weights, index: int) -> None:
        self._heads, self._kv_heads, self._dim = spec.heads, spec.kv_heads, spec.head_dim
        self._scale = spec.attention_scale
        self.window = spec.windows[index]
        self.rope = spec.ropes[index]
        self._qkv = weights.linear("qkv")
        self._q_norm = RMSNorm(weights.take("q_norm"), spec.norm_eps) if spec.qk_norm else None
        self._k_norm = RMSNorm(weights.take("k_norm"), spec.norm_eps) if spec.qk_norm else None
        self._out = weights.linear("o")

    def __call__(self, x: Tensor, step: Step, cache: Tensor) -> Tensor:
        heads = self._qkv(x).view(len(x), self._heads + 2 * self._kv_heads, self._dim)
        turning = heads[:, : self._heads + self._kv_heads]
        if self._q_norm is not None and self._k_norm is not None:
            turning[:, : self._heads] = self._q_norm(turning[:, : self._heads])
            turning[:, self._heads :] = self._k_norm(turning[:, self._heads :])
        step.angles[self.rope].rotate_(turning)
        for slots, new in zip(cache.flatten(1, 2), heads[:, self._heads :].chunk(2, dim=1), strict=True):
            slots.index_copy_(0, step.slots, new)
        return self._out(attend(heads[:, : self._heads], cache, step.calls[self.window], self._scale))


class GatedMLP:
    """down(act(gate x) * up x)"""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self._act = ACTIVATIONS[spec.activation]
        self._gate_up = weights.linear("gate_up")
        self._down = weights.linear("down")

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = self._gate_up(x).chunk(2, dim=-1)
        return self._down(self._act(gate).mul_(up))


class PlainMLP:
    """down(act(up x))"""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self._act = ACTIVATIONS[spec.activation]
        self._up = weights.linear("up")
        self._down = weights.linear("down")

    def __call__(self, x: Tensor) -> Tensor:
        return self._down(self._act(self._up(x)))


def _mlp(spec: ModelSpec, weights: Weights) -> GatedMLP | PlainMLP:
    return GatedMLP(spec, weights) if spec.gated else PlainMLP(spec, weights)


class Layer:
    """x += attention(norm x), then x += mlp(norm x); gemma3 norms what is added too."""

    def __init__(self, spec: ModelSpec, weights: Weights, index: int) -> None:
        self._attn_norm = weights.norm("attn_norm", spec)
        self.attention = Attention(spec, weights, index)
        self._post_attn_norm = weights.norm("post_attn_norm", spec) if spec.post_norms else None
        self._mlp_norm = weights.norm("mlp_norm", spec)
        self._mlp = _mlp(spec, weights)
        self._post_mlp_norm = weights.norm("post_mlp_norm", spec) if spec.post_norms else None

    def __call__(self, x: Tensor, step: Step, cache: Tensor) -> Tensor:
        """x is updated in place and returned."""
        mixed = self.attention(self._attn_norm(x), step, cache)
        x += mixed if self._post_attn_norm is None else self._post_attn_norm(mixed)
        fed = self._mlp(self._mlp_norm(x))
        x += fed if self._post_mlp_norm is None else self._post_mlp_norm(fed)
        return x


class ParallelLayer:
    """x += attention(norm x) + mlp(norm x), with one norm for both or one for each (falcon)."""

    def __init__(self, spec: ModelSpec, weights: Weights, index: int) -> None:
        self._attn_norm = weights.norm("attn_norm", spec)
        self._mlp_norm = None if spec.shared_norm else weights.norm("mlp_norm", spec)
        self.attention = Attention(spec, weights, index)
        self._mlp = _mlp(spec, weights)

    def __call__(self, x: Tensor, step: Step, cache: Tensor) -> Tensor:
        """x is updated in place and returned."""
        normed = self._attn_norm(x)
        fed = self._mlp(normed if self._mlp_norm is None else self._mlp_norm(x))
        x += self.attention(normed, step, cache)
        x += fed
        return x


class Decoder:
    """All layers of one model. `weights` (internal names) is emptied: matrices are repacked one by one."""

    def __init__(self, spec: ModelSpec, weights: dict[str, Tensor]) -> None:
        self._spec = spec
        self._embed = weights.pop("embed")
        self._embed_scale = torch.tensor(spec.embed_scale, dtype=self._embed.dtype)
        kind = ParallelLayer if spec.parallel_blocks else Layer
        self._layers = [kind(spec, Weights(weights, f"layers.{i}."), i) for i in range(spec.layers)]
        ends = Weights(weights, "")
        self._final_norm = ends.norm("final_norm", spec)
        self._head = Linear(self._embed) if spec.tied else ends.linear("head")
        assert not weights, f"weights that no layer takes: {sorted(weights)}"

    def forward(self, inputs: StepInputs, kv: KVCache) -> Tensor:
        """Hidden states [R, hidden] of the wanted rows; every token's K/V are in `kv` afterwards."""
        with torch.inference_mode():
            x = self._embed[inputs.tokens]
            if self._spec.embed_scale != 1.0:
                x *= self._embed_scale
            step = self._plan(inputs, kv, x.dtype)
            for layer, cache in zip(self._layers, kv.layers, strict=True):
                x = layer(x, step, cache)
            return self._final_norm(x[inputs.rows])

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [R, vocab] of hidden states [R, hidden]."""
        with torch.inference_mode():
            logits = self._head(hidden).float()
            cap = self._spec.final_softcap
            return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)

    def _plan(self, inputs: StepInputs, kv: KVCache, dtype: torch.dtype) -> Step:
        spec = self._spec
        calls = {w: plan_attention(inputs, kv, spec.heads, w) for w in set(spec.windows)}
        angles = {rope: Angles(rope, inputs.positions, spec.head_dim, dtype) for rope in set(spec.ropes)}
        return Step(inputs.slots, calls, angles)

"""A decoder-only transformer over flattened tokens and a paged cache: one call a step.

Owns how a family's block is put together from ModelSpec's switches. Knows no requests, no sampling, no files.

    tokens [T] -> embed -> layers: x += attention(norm x); x += mlp(norm x) -> norm -> the wanted rows -> head
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headway.model.inputs import StepInputs
from headway.model.kv import KVCache
from headway.model.layers import ACTIVATIONS, LayerNorm, Norm
from headway.model.parts import Map, Parts, plain_parts
from headway.spec import ModelSpec

# What lies between an MLP's maps is its widest: of so many rows it stays in caches, and in memory that the
# process holds already; 4,096 rows would ask the system for 50 MB anew, page by page, in every layer.
MLP_ROWS = 1024

Step = Mapping[Any, Any]
"""What the parts planned for one step, for their own mixers."""


class Weights:
    """One layer's tensors by their short names, each handed out once: none is held in two layouts."""

    def __init__(self, tensors: dict[str, Tensor], prefix: str, parts: Parts) -> None:
        self._tensors, self._prefix = tensors, prefix
        self.parts = parts

    def take(self, name: str) -> Tensor:
        return self._tensors.pop(self._prefix + name)

    def linear(self, name: str) -> Map:
        return self.parts.linear(self.take(name), self._tensors.pop(f"{self._prefix}{name}.bias", None))

    def norm(self, name: str, spec: ModelSpec) -> Norm:
        if spec.norm == "layer":
            return LayerNorm(self.take(name), self.take(f"{name}.bias"), spec.norm_eps)
        return self.parts.rms_norm(self.take(name), spec.norm_eps)


class Attention:
    """One layer's attention: project, let tokens see each other, project back."""

    def __init__(self, spec: ModelSpec, weights: Weights, index: int) -> None:
        self._qkv = weights.linear("qkv")
        norms = (weights.take("q_norm"), weights.take("k_norm")) if spec.qk_norm else None
        self._mix = weights.parts.mixing.mixer(spec.windows[index], spec.ropes[index], norms)
        self._out = weights.linear("o")

    def __call__(self, x: Tensor, step: Step, cache: Tensor) -> Tensor:
        return self._out(self._mix(self._qkv(x), step, cache))


class GatedMLP:
    """down(act(gate x) * up x)"""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self._gate_up = weights.linear("gate_up")
        self._gate = weights.parts.gate(spec.activation)
        self._down = weights.linear("down")

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) <= MLP_ROWS:
            return self._down(self._gate(self._gate_up(x)))
        return torch.cat([self(rows) for rows in x.split(MLP_ROWS)])


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
        self._attention = Attention(spec, weights, index)
        self._post_attn_norm = weights.norm("post_attn_norm", spec) if spec.post_norms else None
        self._mlp_norm = weights.norm("mlp_norm", spec)
        self._mlp = _mlp(spec, weights)
        self._post_mlp_norm = weights.norm("post_mlp_norm", spec) if spec.post_norms else None

    def __call__(self, x: Tensor, added: Tensor | None, step: Step, cache: Tensor) -> Tensor:
        """x, to which `added` comes first, is updated in place; what is to be added next is returned."""
        mixed = self._attention(self._attn_norm(x, added), step, cache)
        mixed = mixed if self._post_attn_norm is None else self._post_attn_norm(mixed)
        fed = self._mlp(self._mlp_norm(x, mixed))
        return fed if self._post_mlp_norm is None else self._post_mlp_norm(fed)


class ParallelLayer:
    """x += attention(norm x) + mlp(norm x), with one norm for both or one for each (falcon)."""

    def __init__(self, spec: ModelSpec, weights: Weights, index: int) -> None:
        self._attn_norm = weights.norm("attn_norm", spec)
        self._mlp_norm = None if spec.shared_norm else weights.norm("mlp_norm", spec)
        self._attention = Attention(spec, weights, index)
        self._mlp = _mlp(spec, weights)

    def __call__(self, x: Tensor, added: Tensor | None, step: Step, cache: Tensor) -> Tensor:
        """x, to which `added` comes first, is updated in place; what is to be added next is returned."""
        normed = self._attn_norm(x, added)
        fed = self._mlp(normed if self._mlp_norm is None else self._mlp_norm(x))
        return self._attention(normed, step, cache).add_(fed)


class Decoder:
    """All layers of one model. `weights` (internal names) is emptied: matrices are repacked one by one.

    `parts` are what it is put together from, torch's own by default.
    """

    def __init__(self, spec: ModelSpec, weights: dict[str, Tensor], parts: Parts | None = None) -> None:
        parts = parts or plain_parts(spec)
        self._spec = spec
        self._mixing = parts.mixing
        self._embed = weights.pop("embed")
        self._embed_scale = torch.tensor(spec.embed_scale, dtype=self._embed.dtype)
        kind = ParallelLayer if spec.parallel_blocks else Layer
        self._layers = [kind(spec, Weights(weights, f"layers.{i}.", parts), i) for i in range(spec.layers)]
        ends = Weights(weights, "", parts)
        self._final_norm = ends.norm("final_norm", spec)
        self._head = parts.linear(self._embed, None) if spec.tied else ends.linear("head")
        assert not weights, f"weights that no layer takes: {sorted(weights)}"

    def forward(self, inputs: StepInputs, kv: KVCache) -> Tensor:
        """Hidden states [R, hidden] of the wanted rows; every token's K/V are in `kv` afterwards."""
        with torch.inference_mode():
            x = self._embed[inputs.tokens]
            if self._spec.embed_scale != 1.0:
                x *= self._embed_scale
            step = self._mixing.plan(inputs, kv)
            added: Tensor | None = None
            for layer, cache in zip(self._layers, kv.layers, strict=True):
                added = layer(x, added, step, cache)
            return self._final_norm(x[inputs.rows], added if added is None else added[inputs.rows])

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [R, vocab] of hidden states [R, hidden]."""
        with torch.inference_mode():
            logits = self._head(hidden).float()
            cap = self._spec.final_softcap
            return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)

"""A transformers model's weights in our layout, made from its modules rather than from its files."""

from typing import Any

import torch
from torch import Tensor, nn


def in_our_layout(model: Any) -> dict[str, Tensor]:
    """Under the names and in the order of ModelSpec.tensors()."""
    falcon = model.config.model_type == "falcon"
    body = model.transformer if falcon else model.model
    weights = {"embed": (body.word_embeddings if falcon else body.embed_tokens).weight}
    for i, layer in enumerate(body.h if falcon else body.layers):
        own = _falcon_layer(layer) if falcon else _layer(layer)
        weights |= {f"layers.{i}.{name}": tensor for name, tensor in own.items()}
    weights |= _norm("final_norm", body.ln_f if falcon else body.norm)
    if not model.config.tie_word_embeddings:
        weights["head"] = model.lm_head.weight
    return {name: tensor.detach() for name, tensor in weights.items()}


def _layer(layer: Any) -> dict[str, Tensor]:
    attention, mlp = layer.self_attn, layer.mlp
    weights = _norm("attn_norm", layer.input_layernorm)
    weights |= _linear("qkv", attention.q_proj, attention.k_proj, attention.v_proj)
    for name in ("q_norm", "k_norm"):
        if hasattr(attention, name):
            weights |= _norm(name, getattr(attention, name))
    weights |= _linear("o", attention.o_proj)
    if hasattr(layer, "pre_feedforward_layernorm"):
        weights |= _norm("post_attn_norm", layer.post_attention_layernorm)
        weights |= _norm("mlp_norm", layer.pre_feedforward_layernorm)
    else:
        weights |= _norm("mlp_norm", layer.post_attention_layernorm)
    weights |= _linear("gate_up", mlp.gate_proj, mlp.up_proj) | _linear("down", mlp.down_proj)
    if hasattr(layer, "post_feedforward_layernorm"):
        weights |= _norm("post_mlp_norm", layer.post_feedforward_layernorm)
    return weights


def _falcon_layer(layer: Any) -> dict[str, Tensor]:
    attention, mlp = layer.self_attention, layer.mlp
    two = hasattr(layer, "ln_attn")
    weights = _norm("attn_norm", layer.ln_attn if two else layer.input_layernorm)
    weights["qkv"] = _falcon_rows(attention, attention.query_key_value.weight)
    if attention.query_key_value.bias is not None:
        weights["qkv.bias"] = _falcon_rows(attention, attention.query_key_value.bias[:, None])[:, 0]
    weights |= _linear("o", attention.dense)
    if two or hasattr(layer, "post_attention_layernorm"):
        weights |= _norm("mlp_norm", layer.ln_mlp if two else layer.post_attention_layernorm)
    return weights | _linear("up", mlp.dense_h_to_4h) | _linear("down", mlp.dense_4h_to_h)


def _falcon_rows(attention: Any, weight: Tensor) -> Tensor:
    """Ordered by the model's own split of what the projection gives; it repeats K and V for query heads."""
    q, k, v = (part[0].permute(1, 2, 0) for part in attention._split_heads(weight.T[None]))
    repeats = k.shape[0] // attention.num_kv_heads
    return torch.cat([q, k[::repeats], v[::repeats]]).flatten(0, 1)


def _linear(name: str, *parts: nn.Linear) -> dict[str, Tensor]:
    weights = {name: torch.cat([part.weight for part in parts])}
    if parts[0].bias is not None:
        weights[f"{name}.bias"] = torch.cat([part.bias for part in parts])
    return weights


def _norm(name: str, norm: Any) -> dict[str, Tensor]:
    one = 1.0 if type(norm).__name__ == "Gemma3RMSNorm" else 0.0
    weights = {name: norm.weight + one}
    if getattr(norm, "bias", None) is not None:
        weights[f"{name}.bias"] = norm.bias
    return weights

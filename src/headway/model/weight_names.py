"""Where the rows of our weights are found: by name in a model folder's safetensors, and in a GGUF file.

Owns both formats' names and their orders of rows. Reads nothing.
"""

from collections.abc import Container, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from headway.spec import ModelSpec

_picture_bases = ("model.language_model.", "language_model.model.")  # of transformers 5, of 4


class Part(NamedTuple):
    """Some rows of one of our weights, which are all the rows of one tensor in the file."""

    name: str  # in the file
    rows: int
    places: Tensor | None = None  # int64 [rows]: where each row goes among these rows; None: in order
    added: float = 0.0  # to every number


def safetensors_parts(spec: ModelSpec, present: Container[str]) -> dict[str, tuple[Part, ...]]:
    """For each of our weights its parts, in order, by the names that transformers saves.

    `present` are the file's names: gemma3's language model may lie inside one that also sees pictures.
    """
    if spec.family == "falcon":
        return dict(_each(spec, _falcon_names(spec)))
    inside = [base for base in _picture_bases if f"{base}embed_tokens.weight" in present]
    base = inside[0] if inside and spec.family == "gemma3" else "model."
    return dict(_each(spec, _llama_names(spec, base)))


def gguf_parts(spec: ModelSpec) -> dict[str, tuple[Part, ...]]:
    """For each of our weights its parts, in order, by the names that llama.cpp's converter gives."""
    return dict(_each(spec, _gguf_names(spec)))


def is_unused(name: str, spec: ModelSpec) -> bool:
    """A tensor that files may hold and the model does without: tables made anew, and gemma3's eyes."""
    seen = ("vision_tower.", "multi_modal_projector.")
    if spec.family == "gemma3" and name.removeprefix("model.").startswith(seen):
        return True
    return name.endswith("rotary_emb.inv_freq") or name == "rope_freqs.weight"


class _Names(NamedTuple):
    """A format's parts: `whole` by our names, `layer` by our names without `layers.{i}.`, {i} in theirs."""

    whole: dict[str, tuple[Part, ...]]
    layer: dict[str, tuple[Part, ...]]


def _each(spec: ModelSpec, names: _Names) -> Iterator[tuple[str, tuple[Part, ...]]]:
    for name, shape in spec.tensors():
        ours = name.removesuffix(".bias")
        theirs = ".weight" if ours == name else ".bias"
        if ours.startswith("layers."):
            _, layer, short = ours.split(".")
            parts = names.layer[short]
        else:
            layer, parts = "", names.whole[ours]
        rows = sum(part.rows for part in parts)
        assert rows == shape[0], f"{name}: parts of {rows} rows for {shape[0]}"
        yield name, tuple(part._replace(name=part.name.replace("{i}", layer) + theirs) for part in parts)


def _llama_names(spec: ModelSpec, base: str) -> _Names:
    """All families but falcon. Gemma 3 norms by 1 + w; we keep the sum."""
    block, d = f"{base}layers.{{i}}.", spec.head_dim
    one = 1.0 if spec.family == "gemma3" else 0.0
    mlp_norm = "pre_feedforward_layernorm" if spec.post_norms else "post_attention_layernorm"
    return _Names(
        whole={
            "embed": (Part(f"{base}embed_tokens", spec.vocab),),
            "final_norm": (Part(f"{base}norm", spec.hidden, added=one),),
            "head": (Part(f"{base.partition('model.')[0]}lm_head", spec.vocab),),
        },
        layer={
            "attn_norm": (Part(f"{block}input_layernorm", spec.hidden, added=one),),
            "qkv": (
                Part(f"{block}self_attn.q_proj", spec.heads * d),
                Part(f"{block}self_attn.k_proj", spec.kv_heads * d),
                Part(f"{block}self_attn.v_proj", spec.kv_heads * d),
            ),
            "q_norm": (Part(f"{block}self_attn.q_norm", d, added=one),),
            "k_norm": (Part(f"{block}self_attn.k_norm", d, added=one),),
            "o": (Part(f"{block}self_attn.o_proj", spec.hidden),),
            "post_attn_norm": (Part(f"{block}post_attention_layernorm", spec.hidden, added=one),),
            "mlp_norm": (Part(f"{block}{mlp_norm}", spec.hidden, added=one),),
            "gate_up": (Part(f"{block}mlp.gate_proj", spec.ffn), Part(f"{block}mlp.up_proj", spec.ffn)),
            "down": (Part(f"{block}mlp.down_proj", spec.hidden),),
            "post_mlp_norm": (Part(f"{block}post_feedforward_layernorm", spec.hidden, added=one),),
        },
    )


def _falcon_names(spec: ModelSpec) -> _Names:
    block = "transformer.h.{i}."
    two_norms = spec.parallel_blocks and not spec.shared_norm
    qkv_rows = (spec.heads + 2 * spec.kv_heads) * spec.head_dim
    return _Names(
        whole={
            "embed": (Part("transformer.word_embeddings", spec.vocab),),
            "final_norm": (Part("transformer.ln_f", spec.hidden),),
            "head": (Part("lm_head", spec.vocab),),
        },
        layer={
            "attn_norm": (Part(f"{block}{'ln_attn' if two_norms else 'input_layernorm'}", spec.hidden),),
            "qkv": (Part(f"{block}self_attention.query_key_value", qkv_rows, _ungrouped(spec)),),
            "o": (Part(f"{block}self_attention.dense", spec.hidden),),
            "mlp_norm": (
                Part(f"{block}{'ln_mlp' if two_norms else 'post_attention_layernorm'}", spec.hidden),
            ),
            "up": (Part(f"{block}mlp.dense_h_to_4h", spec.ffn),),
            "down": (Part(f"{block}mlp.dense_4h_to_h", spec.hidden),),
        },
    )


def _gguf_names(spec: ModelSpec) -> _Names:
    """One naming for all architectures. Norms of gemma3 carry their 1, and falcon's rows are in our order."""
    block, d = "blk.{i}.", spec.head_dim
    turns = spec.family in ("llama", "mistral")
    queries, keys = spec.heads * d, spec.kv_heads * d
    split = (
        Part(f"{block}attn_q", queries, _unpaired(spec.heads, d) if turns else None),
        Part(f"{block}attn_k", keys, _unpaired(spec.kv_heads, d) if turns else None),
        Part(f"{block}attn_v", keys),
    )
    falcon = spec.family == "falcon"
    two_norms = falcon and not spec.shared_norm  # then attn_norm is the MLP's, and attn_norm_2 attention's
    return _Names(
        whole={
            "embed": (Part("token_embd", spec.vocab),),
            "final_norm": (Part("output_norm", spec.hidden),),
            "head": (Part("output", spec.vocab),),
        },
        layer={
            "attn_norm": (Part(f"{block}{'attn_norm_2' if two_norms else 'attn_norm'}", spec.hidden),),
            "qkv": (Part(f"{block}attn_qkv", queries + 2 * keys),) if falcon else split,
            "q_norm": (Part(f"{block}attn_q_norm", d),),
            "k_norm": (Part(f"{block}attn_k_norm", d),),
            "o": (Part(f"{block}attn_output", spec.hidden),),
            "post_attn_norm": (Part(f"{block}post_attention_norm", spec.hidden),),
            "mlp_norm": (Part(f"{block}{'attn_norm' if two_norms else 'ffn_norm'}", spec.hidden),),
            "gate_up": (Part(f"{block}ffn_gate", spec.ffn), Part(f"{block}ffn_up", spec.ffn)),
            "up": (Part(f"{block}ffn_up", spec.ffn),),
            "down": (Part(f"{block}ffn_down", spec.hidden),),
            "post_mlp_norm": (Part(f"{block}post_ffw_norm", spec.hidden),),
        },
    )


def _unpaired(heads: int, head_dim: int) -> Tensor:
    """llama.cpp puts the two dimensions that RoPE turns together side by side; ours are half a head apart.

    File row (head, i, half) goes to (head, half, i), for i below head_dim / 2.
    """
    ours = torch.arange(heads * head_dim).view(heads, 2, head_dim // 2)
    return ours.transpose(1, 2).flatten()


def _ungrouped(spec: ModelSpec) -> Tensor:
    """Falcon stores each K/V head's query heads, then its K, then its V; ours are all q, all k, all v."""
    ours = torch.arange((spec.heads + 2 * spec.kv_heads) * spec.head_dim)
    q, k, v = ours.split([spec.heads * spec.head_dim, *[spec.kv_heads * spec.head_dim] * 2])
    groups = [heads.view(spec.kv_heads, -1, spec.head_dim) for heads in (q, k, v)]
    return torch.cat(groups, dim=1).flatten()

"""GGUF metadata -> ModelSpec, as llama.cpp understands its own keys.

Owns what each architecture's keys mean. A key of the architecture that is not known here is refused: it may
change what the model computes. Opens no file but for the rotary divisors, which are a tensor there.
"""

import struct
from dataclasses import replace

from gguf.constants import GGMLQuantizationType

from headway.spec.fields import (
    Fields,
    max_ffn,
    max_head_dim,
    max_heads,
    max_hidden,
    max_layers,
    max_positions,
    max_vocab,
)
from headway.spec.gguf_file import GGUFFile
from headway.spec.model import (
    BadModel,
    DivisorScaling,
    Family,
    LinearScaling,
    ModelSpec,
    Rope,
    RopeScaling,
    YarnScaling,
)
from headway.spec.rope import yarn_magnitude

_families: dict[str, Family] = {
    "llama": "llama",  # Mistral's files say llama too
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "falcon": "falcon",
    "gemma3": "gemma3",
}
_known_keys = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "final_logit_softcapping",
    "tensor_data_layout",
}
_neutral: dict[str, object] = {
    "expert_count": 0,
    "expert_used_count": 0,
    "use_parallel_residual": True,
    "attention.causal": True,
    "rope.scaling.attn_factor": 1.0,
}
_gemma3_period = 6  # every sixth layer sees everything
_gemma3_27b_layers = 62


def spec_from_gguf(file: GGUFFile) -> ModelSpec:
    """The spec of a GGUF file that holds a whole model. Raises BadModel."""
    general = Fields(file.path, file.metadata)
    name = general.text("general.architecture")
    if name not in _families:
        general.refuse(
            "general.architecture", f"{name!r} is not supported; supported: {', '.join(_families)}"
        )
    if general.has("split.count") and general.count("split.count", 1 << 16) > 1:
        general.refuse("split.count", "is above 1; join the parts into one file first (gguf-split --merge)")
    _refuse_unknown(general, file, f"{name}.")
    spec = _base(file, Fields(file.path, file.metadata, f"{name}."), _families[name])
    if spec.family == "gemma3":
        spec = _gemma3(file, spec)
    tokens = Fields(file.path, file.metadata, "tokenizer.ggml.")
    ends = [tokens.ids(key, spec.vocab) for key in ("eos_token_id", "eot_token_id", "eom_token_id")]
    bos = tokens.ids("bos_token_id", spec.vocab)
    eos = tuple(dict.fromkeys(one for ids in ends for one in ids))
    return replace(spec, eos_ids=eos, bos_id=bos[0] if bos else None)


def _base(file: GGUFFile, fields: Fields, family: Family) -> ModelSpec:
    layers = fields.count("block_count", max_layers)
    hidden = fields.count("embedding_length", max_hidden)
    heads = fields.count("attention.head_count", max_heads)
    kv_heads = fields.count("attention.head_count_kv", max_heads, heads)
    if heads % kv_heads:
        fields.refuse("attention.head_count_kv", f"is {kv_heads}, which does not divide {heads} heads")
    head_dim = _head_dim(fields, max(hidden // heads, 1))
    rope = Rope(fields.number("rope.freq_base", 10_000.0), _scaling(file, fields, head_dim))
    falcon = family == "falcon"
    norm_key = "attention.layer_norm_epsilon" if falcon else "attention.layer_norm_rms_epsilon"
    return ModelSpec(
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=fields.count("feed_forward_length", max_ffn),
        vocab=_vocab(file, fields),
        max_positions=_max_positions(fields, rope),
        norm="layer" if falcon else "rms",
        norm_eps=fields.number(norm_key),
        qk_norm=family in ("qwen3", "gemma3"),
        ropes=(rope,) * layers,
        windows=(None,) * layers,
        attention_scale=head_dim**-0.5,
        qkv_bias=family == "qwen2" or _stored(file, "blk.0.attn_q.bias", "blk.0.attn_qkv.bias"),
        o_bias=_stored(file, "blk.0.attn_output.bias"),
        mlp_bias=_stored(file, "blk.0.ffn_down.bias"),
        parallel_blocks=falcon,
        shared_norm=falcon and not _stored(file, "blk.0.attn_norm_2.weight"),
        gated=not falcon,
        activation="gelu" if falcon else "silu",
        tied=not _stored(file, "output.weight"),
    )


def _gemma3(file: GGUFFile, spec: ModelSpec) -> ModelSpec:
    """llama.cpp keeps the pattern, the local theta and the 27B model's query scale in its source."""
    fields = Fields(file.path, file.metadata, "gemma3.")
    period = fields.count("attention.sliding_window_pattern", max_layers, _gemma3_period)
    window = fields.count("attention.sliding_window", max_positions)
    windows = tuple(None if (layer + 1) % period == 0 else window for layer in range(spec.layers))
    local = Rope(fields.number("rope.freq_base_swa", 10_000.0))
    query_dim = spec.hidden // spec.heads if spec.layers == _gemma3_27b_layers else spec.head_dim
    softcap = "final_logit_softcapping"
    return replace(
        spec,
        float32_norms=True,
        post_norms=True,
        windows=windows,
        ropes=tuple(spec.ropes[0] if window is None else local for window in windows),
        attention_scale=query_dim**-0.5,
        activation="gelu_tanh",
        embed_scale=spec.hidden**0.5,
        final_softcap=fields.number(softcap) if fields.has(softcap) else None,
    )


def _scaling(file: GGUFFile, fields: Fields, head_dim: int) -> RopeScaling | None:
    kind = fields.text("rope.scaling.type", "none")
    if "rope_freqs.weight" in file.tensors:
        if kind != "none":
            fields.refuse("rope.scaling.type", f"is {kind!r} beside the divisors of rope_freqs.weight")
        return DivisorScaling(_divisors(file, head_dim))
    if kind == "none":
        return None
    factor = fields.number("rope.scaling.factor")
    if kind == "linear":
        return LinearScaling(factor)
    if kind != "yarn":
        fields.refuse("rope.scaling.type", f"{kind!r} is not supported; supported: none, linear, yarn")
    return YarnScaling(
        factor=factor,
        attention_factor=yarn_magnitude(factor),
        original_max_positions=fields.count(
            "rope.scaling.original_context_length",
            max_positions,
            fields.count("context_length", max_positions),
        ),
        beta_fast=32.0,
        beta_slow=1.0,
        truncate=True,
    )


def _divisors(file: GGUFFile, head_dim: int) -> tuple[float, ...]:
    tensor = file.tensors["rope_freqs.weight"]
    if tensor.type != GGMLQuantizationType.F32 or tensor.shape != (head_dim // 2,):
        raise BadModel(file.path, f"rope_freqs.weight is not {head_dim // 2} numbers of type F32")
    with file.path.open("rb") as data:
        data.seek(tensor.offset)
        divisors: tuple[float, ...] = struct.unpack(f"<{head_dim // 2}f", data.read(tensor.bytes))
    if not all(0 < divisor < float("inf") for divisor in divisors):
        raise BadModel(file.path, "rope_freqs.weight holds a number that is not finite and above 0")
    return divisors


def _head_dim(fields: Fields, default: int) -> int:
    head_dim = fields.count("attention.key_length", max_head_dim, default)
    for key in ("attention.value_length", "rope.dimension_count"):
        if fields.count(key, max_head_dim, head_dim) != head_dim:
            fields.refuse(key, f"differs from a head's {head_dim} dimensions, which is not supported")
    if head_dim % 2:
        fields.refuse("attention.key_length", f"is {head_dim}; rotary positions turn pairs")
    return head_dim


def _vocab(file: GGUFFile, fields: Fields) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2 or embedding.shape[0] > max_vocab:
        raise BadModel(file.path, "token_embd.weight is missing or has an impossible shape")
    rows = embedding.shape[0]
    if fields.count("vocab_size", max_vocab, rows) != rows:
        fields.refuse("vocab_size", f"differs from the {rows:,} rows of token_embd.weight")
    return rows


def _max_positions(fields: Fields, rope: Rope) -> int:
    positions = fields.count("context_length", max_positions)
    if isinstance(rope.scaling, YarnScaling):
        return max(positions, int(rope.scaling.factor * rope.scaling.original_max_positions))
    return positions


def _refuse_unknown(general: Fields, file: GGUFFile, prefix: str) -> None:
    for key in file.metadata:
        name = key.removeprefix(prefix)
        if name == key or name in _known_keys:
            continue
        if name not in _neutral:
            general.refuse(key, "is not known, and may change what the model computes")
        if file.metadata[key] != _neutral[name]:
            general.refuse(key, f"is {file.metadata[key]!r}, which is not supported")


def _stored(file: GGUFFile, *names: str) -> bool:
    return any(name in file.tensors for name in names)

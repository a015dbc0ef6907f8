"""config.json -> ModelSpec, as transformers 5 understands it, whichever of its versions wrote the file.

Owns what each family's configuration means. Opens no file.
"""

from dataclasses import replace

from headway.spec.config_defaults import left_out
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
from headway.spec.model import Activation, Family, ModelSpec, Rope, YarnScaling
from headway.spec.rope import read_gemma3_ropes, read_rope

_architectures: dict[str, Family] = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "FalconForCausalLM": "falcon",
    "Gemma3ForCausalLM": "gemma3",
    "Gemma3ForConditionalGeneration": "gemma3",  # its text half
}
_model_types: dict[str, Family] = {
    "llama": "llama",
    "mistral": "mistral",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "falcon": "falcon",
    "gemma3": "gemma3",
    "gemma3_text": "gemma3",
}
_activations: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def spec_from_config(config: Fields, generation: Fields) -> ModelSpec:
    """`generation` (generation_config.json, or empty) has the last word on the ids that end a text."""
    family = _family(config)
    outer = config
    if config.text("model_type") == "gemma3":
        config = config.within("text_config")
    config = config.with_defaults(left_out[family])
    if family == "falcon":
        spec = _falcon(config)
    elif family == "gemma3":
        spec = _gemma3_text(config)
    else:
        spec = _gated(config, family)
    sources = (generation, outer, config)
    eos = next((ids for fields in sources if (ids := fields.ids("eos_token_id", spec.vocab))), ())
    bos = next((ids for fields in sources if (ids := fields.ids("bos_token_id", spec.vocab))), ())
    dtype = next(
        (
            fields.text(key)
            for fields in (outer, config)
            for key in ("dtype", "torch_dtype")
            if fields.has(key)
        ),
        None,
    )
    return replace(spec, eos_ids=eos, bos_id=bos[0] if bos else None, dtype=dtype)


def _family(config: Fields) -> Family:
    model_type = config.text("model_type")
    if model_type not in _model_types:
        config.refuse("model_type", f"{model_type!r} is not supported; supported: {', '.join(_model_types)}")
    architectures = config.raw("architectures") or []
    for name in architectures if isinstance(architectures, list) else [architectures]:
        if _architectures.get(str(name)) != _model_types[model_type]:
            config.refuse("architectures", f"names {name!r}, not a language model of type {model_type!r}")
    return _model_types[model_type]


def _gated(config: Fields, family: Family) -> ModelSpec:
    """llama and those that differ from it by switches: sequential blocks, RMS norms, a gated MLP."""
    layers = config.count("num_hidden_layers", max_layers)
    hidden = config.count("hidden_size", max_hidden)
    heads = config.count("num_attention_heads", max_heads)
    head_dim = config.count("head_dim", max_head_dim, max(hidden // heads, 1))
    rope = read_gemma3_ropes(config)[0] if family == "gemma3" else read_rope(config)
    optional_bias = family in ("llama", "qwen3", "gemma3") and config.flag("attention_bias", default=False)
    return ModelSpec(
        family=family,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(config, "num_key_value_heads", heads),
        head_dim=_even(config, head_dim),
        ffn=config.count("intermediate_size", max_ffn),
        vocab=config.count("vocab_size", max_vocab),
        max_positions=_max_positions(config, rope),
        norm_eps=config.number("rms_norm_eps", 1e-6),
        qk_norm=family in ("qwen3", "gemma3"),
        ropes=(rope,) * layers,
        windows=_windows(config, family, layers),
        attention_scale=head_dim**-0.5,
        qkv_bias=optional_bias or family == "qwen2",
        o_bias=optional_bias,
        mlp_bias=family == "llama" and config.flag("mlp_bias", default=False),
        activation=_activation(
            config, "hidden_act" if not config.has("hidden_activation") else "hidden_activation"
        ),
        tied=config.flag("tie_word_embeddings", default=False),
    )


def _gemma3_text(config: Fields) -> ModelSpec:
    for key in ("attn_logit_softcapping", "use_bidirectional_attention"):
        if config.raw(key):
            config.refuse(key, "is set, which is not supported")
    spec = _gated(config, "gemma3")
    full, windowed = read_gemma3_ropes(config)
    return replace(
        spec,
        float32_norms=True,
        post_norms=True,
        ropes=tuple(full if window is None else windowed for window in spec.windows),
        attention_scale=config.number("query_pre_attn_scalar") ** -0.5,
        embed_scale=spec.hidden**0.5,
        final_softcap=config.number("final_logit_softcapping")
        if config.has("final_logit_softcapping")
        else None,
    )


def _falcon(config: Fields) -> ModelSpec:
    if config.flag("alibi", default=False):
        config.refuse("alibi", "is set; only rotary positions are supported")
    layers = config.count("num_hidden_layers", max_layers)
    hidden = config.count("hidden_size", max_hidden)
    heads = config.count("num_attention_heads", max_heads)
    if hidden % heads:
        config.refuse("hidden_size", f"is {hidden}, not a multiple of the {heads} attention heads")
    rope = read_rope(config)
    bias = config.flag("bias", default=False)
    parallel, shared_norm = _falcon_block(config)
    return ModelSpec(
        family="falcon",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_falcon_kv_heads(config, heads),
        head_dim=_even(config, hidden // heads),
        ffn=config.count("ffn_hidden_size", max_ffn, 4 * hidden),
        vocab=config.count("vocab_size", max_vocab),
        max_positions=_max_positions(config, rope),
        norm="layer",
        norm_eps=config.number("layer_norm_epsilon", 1e-5),
        ropes=(rope,) * layers,
        windows=(None,) * layers,
        attention_scale=(hidden // heads) ** -0.5,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=bias,
        parallel_blocks=parallel,
        shared_norm=shared_norm,
        gated=False,
        activation=_activation(config, "activation", "gelu"),
        tied=config.flag("tie_word_embeddings"),
    )


def _falcon_block(config: Fields) -> tuple[bool, bool]:
    """Whether attention and MLP run side by side, and whether they then share one norm."""
    new = config.flag("new_decoder_architecture", default=False)
    parallel = config.flag("parallel_attn", default=True)
    norms = config.count("num_ln_in_parallel_attn", 2, 2 if new else 1)
    if new and not parallel:
        config.refuse("parallel_attn", "is false beside new_decoder_architecture, which is always parallel")
    if norms == 2 and not new:
        config.refuse("num_ln_in_parallel_attn", "is 2 without new_decoder_architecture")
    return parallel, parallel and norms == 1


def _falcon_kv_heads(config: Fields, heads: int) -> int:
    if config.flag("new_decoder_architecture", default=False):
        return _kv_heads(config, "num_kv_heads", heads)
    if config.flag("multi_query", default=True):
        return 1
    if config.count("num_kv_heads", max_heads, heads) != heads:
        config.refuse("num_kv_heads", "differs from the attention heads without new_decoder_architecture")
    return heads


def _windows(config: Fields, family: Family, layers: int) -> tuple[int | None, ...]:
    """Per layer how many tokens it sees, itself included; None where it sees all before it."""
    if family == "llama":
        return (None,) * layers
    window = config.count("sliding_window", max_positions) if config.has("sliding_window") else None
    if family == "mistral":
        if config.has("layer_types"):
            config.refuse("layer_types", "is set; mistral's layers are all alike")
        return (window,) * layers
    if family in ("qwen2", "qwen3") and not config.flag("use_sliding_window"):
        window = None
    kinds = config.raw("layer_types")
    if kinds is None:
        kinds = _layer_types(config, family, layers, windowed=window is not None)
    known = {"full_attention": None, "sliding_attention": window}
    if not isinstance(kinds, list) or len(kinds) != layers or any(kind not in known for kind in kinds):
        config.refuse(
            "layer_types", f"is not a list of full_attention and sliding_attention for {layers} layers"
        )
    if window is None and "sliding_attention" in kinds:
        config.refuse("layer_types", "has sliding_attention, but no sliding window is set")
    return tuple(known[kind] for kind in kinds)


def _layer_types(config: Fields, family: Family, layers: int, *, windowed: bool) -> list[str]:
    """Where the file names none: gemma3's every sixth layer sees all; qwen's first max_window_layers do."""
    if family == "gemma3":
        period = config.count("sliding_window_pattern", max_layers)
        sliding = [(layer + 1) % period != 0 for layer in range(layers)]
    else:
        first = config.count("max_window_layers", max_layers)
        sliding = [windowed and layer >= first for layer in range(layers)]
    return ["sliding_attention" if slides else "full_attention" for slides in sliding]


def _max_positions(config: Fields, rope: Rope) -> int:
    """YaRN's files may keep the length before stretching, and say the rest by its factor."""
    positions = config.count("max_position_embeddings", max_positions)
    if isinstance(rope.scaling, YarnScaling):
        return max(positions, int(rope.scaling.factor * rope.scaling.original_max_positions))
    return positions


def _kv_heads(config: Fields, key: str, heads: int) -> int:
    kv_heads = config.count(key, max_heads, heads)
    if heads % kv_heads:
        config.refuse(key, f"is {kv_heads}, which does not divide the {heads} attention heads")
    return kv_heads


def _even(config: Fields, head_dim: int) -> int:
    if head_dim % 2:
        config.refuse("head_dim", f"is {head_dim}; rotary positions turn pairs")
    return head_dim


def _activation(config: Fields, key: str, default: str = "silu") -> Activation:
    name = config.text(key, default)
    if name not in _activations:
        config.refuse(key, f"{name!r} is not supported; supported: {', '.join(_activations)}")
    return _activations[name]

"""config.json's rotary parameters, in the spellings of transformers 5 and 4; what is not computed is refused.

Knows no family beside the two kinds of layers that gemma3 tells apart.
"""

import math

from headway.spec.fields import Fields, max_positions
from headway.spec.model import LinearScaling, Llama3Scaling, Rope, RopeScaling, YarnScaling

default_theta = 10_000.0
gemma3_theta, gemma3_window_theta = 1_000_000.0, 10_000.0
_kinds = ("default", "linear", "llama3", "yarn")


def read_rope(config: Fields) -> Rope:
    """One set for all layers: `rope_parameters` (5), or `rope_scaling` beside `rope_theta` (4)."""
    _whole_head(config)
    key = "rope_scaling" if config.raw("rope_scaling") else "rope_parameters"
    theta = config.number("rope_theta", default_theta)
    if not config.has(key):
        return Rope(theta)
    parameters = config.within(key)
    if parameters.has("full_attention") or parameters.has("sliding_attention"):
        config.refuse(key, "differs by kind of layer, which this family does not")
    return _rope(config, parameters, theta)


def read_gemma3_ropes(config: Fields) -> tuple[Rope, Rope]:
    """Of layers that see everything, and of layers with a window; `rope_scaling` (4) is the first's alone."""
    _whole_head(config)
    theta = config.number("rope_theta", gemma3_theta)
    window_theta = config.number("rope_local_base_freq", gemma3_window_theta)
    if not config.has("rope_parameters"):
        scaled = config.within("rope_scaling") if config.has("rope_scaling") else None
        return _rope(config, scaled, theta), Rope(window_theta)
    if config.has("rope_scaling"):
        config.refuse("rope_scaling", "stands beside rope_parameters; which of them holds?")
    nested = config.within("rope_parameters")
    if nested.has("rope_theta") or nested.has("rope_type"):
        config.refuse("rope_parameters", "has no full_attention and sliding_attention, which gemma3 needs")
    full = nested.within("full_attention") if nested.has("full_attention") else None
    windowed = nested.within("sliding_attention") if nested.has("sliding_attention") else None
    return _rope(config, full, theta), _rope(config, windowed, window_theta)


def _rope(config: Fields, parameters: Fields | None, theta: float) -> Rope:
    if parameters is None:
        return Rope(theta)
    _whole_head(parameters)
    return Rope(parameters.number("rope_theta", theta), _scaling(config, parameters))


def _scaling(config: Fields, parameters: Fields) -> RopeScaling | None:
    key = "rope_type" if parameters.has("rope_type") else "type"
    kind = parameters.text(key, "default")
    if kind in ("dynamic", "longrope"):
        # Frequencies change with the longest sequence of a batch; keys in the cache stay turned as they were.
        parameters.refuse(key, f"{kind!r} makes a text's answer depend on the longest text beside it")
    if kind not in _kinds:
        parameters.refuse(key, f"{kind!r} is not supported; supported: {', '.join(_kinds)}")
    if kind == "linear":
        return LinearScaling(parameters.number("factor"))
    if kind == "llama3":
        return Llama3Scaling(
            factor=parameters.number("factor"),
            low_freq_factor=parameters.number("low_freq_factor"),
            high_freq_factor=parameters.number("high_freq_factor"),
            original_max_positions=_original_positions(config, parameters),
        )
    return _yarn(config, parameters) if kind == "yarn" else None


def _yarn(config: Fields, parameters: Fields) -> YarnScaling:
    original = _original_positions(config, parameters)
    factor = parameters.number("factor", config.count("max_position_embeddings", max_positions) / original)
    return YarnScaling(
        factor=factor,
        attention_factor=_yarn_attention_factor(parameters, factor),
        original_max_positions=original,
        beta_fast=parameters.number("beta_fast", 32.0),
        beta_slow=parameters.number("beta_slow", 1.0),
        truncate=parameters.flag("truncate", True),
    )


def _yarn_attention_factor(parameters: Fields, factor: float) -> float:
    """As given, or from the factor: 0.1 ln(factor) + 1, a ratio of two such where both mscales are set."""
    if parameters.has("attention_factor"):
        return parameters.number("attention_factor")
    if parameters.raw("mscale") and parameters.raw("mscale_all_dim"):
        over, under = parameters.number("mscale"), parameters.number("mscale_all_dim")
        return yarn_magnitude(factor, over) / yarn_magnitude(factor, under)
    return yarn_magnitude(factor)


def yarn_magnitude(factor: float, weight: float = 1.0) -> float:
    """How much YaRN lengthens queries and keys, so that attention stays as sharp over longer texts."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _original_positions(config: Fields, parameters: Fields) -> int:
    """What the model was trained on; at the top of the file it outweighs the same key further down."""
    key = "original_max_position_embeddings"
    for fields in (config, parameters):
        if fields.has(key):
            return fields.count(key, max_positions)
    return config.count("max_position_embeddings", max_positions)


def _whole_head(fields: Fields) -> None:
    if fields.has("partial_rotary_factor") and fields.number("partial_rotary_factor") != 1.0:
        fields.refuse("partial_rotary_factor", "is not 1; only whole heads are turned")

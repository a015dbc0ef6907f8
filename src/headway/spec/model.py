"""What a model is: its dimensions, and the few switches in which the six families differ.

Owns the words for it and the names and shapes of the weights in our one internal layout. Knows no file format
and no torch: the simulator and the cost model read this too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Family = Literal["llama", "mistral", "qwen2", "qwen3", "falcon", "gemma3"]
Activation = Literal["silu", "gelu", "gelu_tanh"]  # gelu is the exact one (erf)


class BadModel(Exception):
    """A model's file that we refuse: which one, and why. Nothing was allocated for it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Every inverse frequency is divided by `factor` (position interpolation)."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1. With context = original_max_positions: a frequency whose wavelength is over context /
    low_freq_factor is divided by `factor`, one under context / high_freq_factor is kept, those between are
    blended linearly in 1 / wavelength.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """YaRN (arXiv 2309.00071): a ramp over the dimensions between divided and kept frequencies.

    `attention_factor` multiplies both cos and sin; it is final, defaults already worked out. If `truncate`,
    the ramp's ends are rounded outwards to whole dimensions.
    """

    factor: float
    attention_factor: float
    original_max_positions: int
    beta_fast: float
    beta_slow: float
    truncate: bool


@dataclass(frozen=True, slots=True)
class DivisorScaling:
    """Inverse frequency i is divided by divisors[i] (how GGUF carries Llama 3.1's scaling)."""

    divisors: tuple[float, ...]  # head_dim / 2 of them


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling | DivisorScaling


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions over the whole head, rotate-half order (dimension i turns with i + head_dim / 2).

    Inverse frequency i is theta ** -(2 i / head_dim), in float32, then `scaling`.
    """

    theta: float
    scaling: RopeScaling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One decoder-only model. Every block is one of two shapes:

    sequential:  x = x + post_attn_norm(attention(attn_norm(x)));  x = x + post_mlp_norm(mlp(mlp_norm(x)))
    parallel:    x = x + attention(attn_norm(x)) + mlp(mlp_norm(x)), both norms of the same x

    with the post norms only where `post_norms`. What is absent from `tensors()` does not exist in the model.
    """

    family: Family
    layers: int
    hidden: int
    heads: int  # query heads
    kv_heads: int  # divides heads; query head h reads K/V head h // (heads / kv_heads)
    head_dim: int  # heads * head_dim need not equal hidden
    ffn: int
    vocab: int  # rows of the embedding, padding rows included: may exceed the tokenizer's count
    max_positions: int  # the longest context that the model claims, in tokens

    norm: Literal["rms", "layer"] = "rms"  # layer: subtracts the mean and has a bias
    norm_eps: float
    float32_norms: bool = False  # gemma3: norm weights are float32 and multiply before the cast to the dtype
    post_norms: bool = False  # gemma3: attention's and MLP's outputs are normed before they are added
    qk_norm: bool = False  # RMS norm of every q head and k head over head_dim, before RoPE

    ropes: tuple[Rope, ...]  # one per layer
    windows: tuple[int | None, ...]  # one per layer: i sees j where i - window < j <= i; None: every j <= i
    attention_scale: float  # multiplies q . k

    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False  # of gate_up or up, and of down

    parallel_blocks: bool = False
    shared_norm: bool = False  # in parallel blocks: the MLP reads attn_norm's output, there is no mlp_norm
    gated: bool = True  # down(act(gate(x)) * up(x)); else down(act(up(x)))
    activation: Activation = "silu"

    tied: bool  # the output head is the embedding
    embed_scale: float = 1.0  # rounded to the weights' dtype, it multiplies embeddings (gemma3: sqrt(hidden))
    final_softcap: float | None = None  # c: logits become c * tanh(logits / c)

    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()  # any of them ends a text
    dtype: str | None = None  # published in float32, float16 or bfloat16; None: not said, or in blocks

    def kv_bytes_per_token(self, dtype_bytes: int) -> int:
        """K and V of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype_bytes

    @property
    def parameters(self) -> int:
        """Weights stored once: a tied head counts once."""
        total = 0
        for _, shape in self.tensors():
            total += shape[0] * (shape[1] if len(shape) > 1 else 1)
        return total

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of every weight in the internal layout, in file order; matrices are [out, in].

        Rows of `qkv`: q heads, k heads, v heads. Rows of `gate_up`: gate, then up.
        """
        yield "embed", (self.vocab, self.hidden)
        for layer in range(self.layers):
            yield from ((f"layers.{layer}.{name}", shape) for name, shape in self._layer_tensors())
        yield from self._norm_tensors("final_norm")
        if not self.tied:
            yield "head", (self.vocab, self.hidden)

    def _layer_tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from self._norm_tensors("attn_norm")
        rows = (self.heads + 2 * self.kv_heads) * self.head_dim
        yield from _linear("qkv", rows, self.hidden, self.qkv_bias)
        if self.qk_norm:
            yield "q_norm", (self.head_dim,)
            yield "k_norm", (self.head_dim,)
        yield from _linear("o", self.hidden, self.heads * self.head_dim, self.o_bias)
        if self.post_norms:
            yield "post_attn_norm", (self.hidden,)
        if not self.shared_norm:
            yield from self._norm_tensors("mlp_norm")
        up, rows = ("gate_up", 2 * self.ffn) if self.gated else ("up", self.ffn)
        yield from _linear(up, rows, self.hidden, self.mlp_bias)
        yield from _linear("down", self.hidden, self.ffn, self.mlp_bias)
        if self.post_norms:
            yield "post_mlp_norm", (self.hidden,)

    def _norm_tensors(self, name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield name, (self.hidden,)
        if self.norm == "layer":
            yield f"{name}.bias", (self.hidden,)


def _linear(name: str, rows: int, columns: int, has_bias: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name, (rows, columns)
    if has_bias:
        yield f"{name}.bias", (rows,)

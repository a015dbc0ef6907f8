"""Models by name, or from any config.json: what of them decides a step's cost.

Owns dimensions and what follows from them by counting. Knows no device, precision or engine.
"""

from dataclasses import dataclass, field
from pathlib import Path

from headway.spec import ModelSpec, read_spec
from headway.spec.config_json import spec_from_config
from headway.spec.fields import Fields
from headway.spec.folder import read_json

value_bytes = 2  # of a weight, an activation, a K or V value: 16 bit, where nothing else is said


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What of a model decides its cost. A layer sees the whole context, or its last `window` tokens."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True
    parallel: bool = False  # attention and MLP read the same input: one all-reduce a layer, not two
    tied: bool = False  # the head is the embedding
    windowed_layers: int = 0
    window: int = 0  # tokens; 0: no layer has one
    name: str = field(default="model", compare=False)

    @classmethod
    def of(cls, spec: ModelSpec, name: str = "model") -> "Dimensions":
        """Raises ValueError for windows of several sizes, which no model of our families has."""
        windows = [w for w in spec.windows if w is not None and w < spec.max_positions]
        if len(set(windows)) > 1:
            raise ValueError(f"{name}: windows of several sizes: {sorted(set(windows))}")
        return cls(
            spec.layers,
            spec.hidden,
            spec.heads,
            spec.kv_heads,
            spec.head_dim,
            spec.ffn,
            spec.vocab,
            spec.gated,
            spec.parallel_blocks,
            spec.tied,
            len(windows),
            windows[0] if windows else 0,
            name,
        )

    @property
    def linear_weights(self) -> int:
        """In the matrices of all layers."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + self.hidden * self.ffn * (3 if self.gated else 2))

    @property
    def parameters(self) -> int:
        """With embedding and head; norms and biases, under a thousandth, are left out."""
        return self.linear_weights + self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def kv_values(self) -> int:
        """Of one token, in all layers: K and V."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def kv_bytes(self) -> int:
        """Of one token, in all layers, in 16 bit."""
        return self.kv_values * value_bytes

    @property
    def elementwise_bytes(self) -> int:
        """Of one token, in all layers: two norms, two sums, rotations (12 x hidden), the activation."""
        return self.layers * value_bytes * (12 * self.hidden + (3 if self.gated else 2) * self.ffn)

    @property
    def all_reduces(self) -> int:
        """Of a step under tensor parallelism, in all layers."""
        return self.layers * (1 if self.parallel else 2)

    def all_reduce_bytes(self, tokens: int) -> int:
        """Of one message, on every number of GPUs alike: tokens x hidden in 16 bit."""
        return tokens * self.hidden * value_bytes


def _opt(name: str, layers: int, hidden: int, heads: int) -> Dimensions:
    ffn = 4 * hidden
    return Dimensions(layers, hidden, heads, heads, 128, ffn, 50272, gated=False, tied=True, name=name)


def _qwen3(name: str, layers: int, hidden: int, heads: int, ffn: int, *, tied: bool) -> Dimensions:
    return Dimensions(layers, hidden, heads, 8, 128, ffn, 151936, tied=tied, name=name)


MISTRAL_7B = Dimensions(32, 4096, 32, 8, 128, 14336, 32000, name="Mistral-7B")
YI_34B = Dimensions(60, 7168, 56, 8, 128, 20480, 64000, name="Yi-34B")
MPT_7B = Dimensions(32, 4096, 32, 32, 128, 16384, 50432, gated=False, tied=True, name="MPT-7B")
FALCON_180B = Dimensions(
    80, 14848, 232, 8, 64, 59392, 65024, gated=False, parallel=True, tied=True, name="Falcon-180B"
)
MODELS = {
    dimensions.name: dimensions
    for dimensions in (
        MISTRAL_7B,
        YI_34B,
        Dimensions(32, 4096, 32, 32, 128, 11008, 32000, name="Llama2-7B"),
        Dimensions(40, 5120, 40, 40, 128, 13824, 32000, name="Llama2-13B"),
        Dimensions(80, 8192, 64, 8, 128, 28672, 32000, name="Llama2-70B"),
        FALCON_180B,
        Dimensions(32, 4096, 32, 8, 128, 14336, 128256, name="Llama3-8B"),
        Dimensions(80, 8192, 64, 8, 128, 28672, 128256, name="Llama3-70B"),
        MPT_7B,
        _opt("OPT-13B", 40, 5120, 40),
        _opt("OPT-66B", 64, 9216, 72),
        _opt("OPT-175B", 96, 12288, 96),
        _qwen3("Qwen3-0.6B", 28, 1024, 16, 3072, tied=True),
        _qwen3("Qwen3-4B", 36, 2560, 32, 9728, tied=True),
        _qwen3("Qwen3-8B", 36, 4096, 32, 12288, tied=False),
        _qwen3("Qwen3-14B", 40, 5120, 40, 17408, tied=False),
        _qwen3("Qwen3-32B", 64, 5120, 64, 25600, tied=False),
        Dimensions(30, 576, 9, 3, 64, 1536, 49152, tied=True, name="SmolLM2-135M"),
    )
}


def model(name: str) -> Dimensions:
    """By name, upper or lower case, or by path: a config.json, a folder with one, a .gguf file.

    Raises ValueError naming the models that there are, or BadModel naming file and field.
    """
    for known, dimensions in MODELS.items():
        if known.lower() == name.lower():
            return dimensions
    path = Path(name)
    if not path.exists():
        raise ValueError(f"model {name!r} is not known, and no such file exists; known: {', '.join(MODELS)}")
    if path.suffix == ".gguf":
        return Dimensions.of(read_spec(path), path.stem)
    config = path / "config.json" if path.is_dir() else path
    values = read_json(config.parent, config.name)
    spec = spec_from_config(Fields(config, values), Fields(config, {}))
    return Dimensions.of(spec, config.resolve().parent.name)

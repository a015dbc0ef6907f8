"""Model files -> dimensions and family switches, without torch: the simulator needs them too."""

from pathlib import Path

from headway.spec.folder import read_folder
from headway.spec.gguf_file import read_gguf
from headway.spec.gguf_metadata import spec_from_gguf
from headway.spec.model import (
    BadModel,
    DivisorScaling,
    LinearScaling,
    Llama3Scaling,
    ModelSpec,
    Rope,
    RopeScaling,
    YarnScaling,
)

__all__ = [
    "BadModel",
    "DivisorScaling",
    "LinearScaling",
    "Llama3Scaling",
    "ModelSpec",
    "Rope",
    "RopeScaling",
    "YarnScaling",
    "read_spec",
]


def read_spec(path: Path) -> ModelSpec:
    """The spec of a model folder (config.json and safetensors) or of a .gguf file. Raises BadModel."""
    return read_folder(path) if path.is_dir() else spec_from_gguf(read_gguf(path))

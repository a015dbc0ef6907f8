"""Small configurations to vary in tests, and the spec that a folder with one of them has."""

import json
from pathlib import Path
from typing import Any

from headway.spec import ModelSpec, read_spec

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
FALCON = {
    "model_type": "falcon",
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
GEMMA3 = {"model_type": "gemma3_text", "num_hidden_layers": 8}


def spec_of(folder: Path, config: dict[str, Any], **changes: Any) -> ModelSpec:
    """None takes a key out."""
    values = {key: value for key, value in (config | changes).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    return read_spec(folder)

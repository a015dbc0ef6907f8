"""Writes a transformers model as GGUF the way llama.cpp's converter does, with the gguf package's names."""

from pathlib import Path
from typing import Any

import gguf
import torch
from torch import Tensor
from transformers import PreTrainedModel

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "falcon": gguf.MODEL_ARCH.FALCON,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}


def write_gguf(model: PreTrainedModel, path: Path, metadata: dict[str, Any] | None = None) -> None:
    """All tensors as F32. `metadata` is added to the architecture's own, or takes its place."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    for key, value in (_metadata(config) | (metadata or {})).items():
        name = key if key.startswith("tokenizer") else f"{writer.arch}.{key}"
        match value:
            case int():
                writer.add_uint32(name, value)
            case float():
                writer.add_float32(name, value)
            case str():
                writer.add_string(name, value)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs is not None, name
        writer.add_tensor(theirs, _converted(name, tensor, config).numpy().copy())
    if (divisors := _divisors(config)) is not None:
        writer.add_tensor("rope_freqs.weight", divisors.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _metadata(config: Any) -> dict[str, Any]:
    falcon = config.model_type == "falcon"
    values = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.ffn_hidden_size if falcon else config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": _kv_heads(config),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    if falcon:
        return values | {
            "attention.layer_norm_epsilon": config.layer_norm_epsilon,
            "tensor_data_layout": "jploski",
        }
    values |= {
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "attention.key_length": _head_dim(config),
        "attention.value_length": _head_dim(config),
        "vocab_size": config.vocab_size,
    }
    rope = config.rope_parameters
    if config.model_type == "gemma3_text":
        values["attention.sliding_window"] = config.sliding_window
        rope = rope["full_attention"]
    values["rope.freq_base"] = float(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        values |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": float(rope["factor"])}
    if rope["rope_type"] == "yarn":
        values["rope.scaling.original_context_length"] = rope["original_max_position_embeddings"]
    return values


def _converted(name: str, tensor: Tensor, config: Any) -> Tensor:
    heads = {"q_proj": config.num_attention_heads, "k_proj": _kv_heads(config)}
    part = name.split(".")[-2]
    if config.model_type in ("llama", "mistral") and part in heads:
        halves = tensor.reshape(heads[part], 2, -1, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)
    if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
        return tensor + 1
    if part == "query_key_value":
        groups = tensor.view(_kv_heads(config), -1, _head_dim(config), *tensor.shape[1:])
        return torch.cat([part.flatten(0, 2) for part in (groups[:, :-2], groups[:, -2:-1], groups[:, -1:])])
    return tensor


def _divisors(config: Any) -> Tensor | None:
    """Llama 3.1's scaling as the converter writes it: by what each frequency is divided."""
    rope = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return None
    dim = _head_dim(config)
    turns = rope["original_max_position_embeddings"] / (
        2 * torch.pi * rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    )
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - kept) / rope["factor"] + kept)).float()


def _kv_heads(config: Any) -> int:
    if config.model_type != "falcon":
        return int(config.num_key_value_heads)
    return int(config.num_kv_heads if config.new_decoder_architecture else 1)


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

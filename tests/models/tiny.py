"""Tiny models with seeded weights, one for each shape of block that a family can have, saved as published.

Each has a few thousand weights, so that 64 tokens take milliseconds, and large ones, so that the tokens vary.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCAB = 320
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 512,
}
FALCON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "alibi": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GEMMA3: dict[str, Any] = {
    "head_dim": 32,
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
    "sliding_window": 16,
    "query_pre_attn_scalar": 24,
    "pad_token_id": 0,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}

SEEDS = {  # chosen so that at least 20 of 64 tokens differ, and none is chosen by a hair
    "llama": 0,
    "llama-llama3": 3,
    "llama-linear-biased": 16,
    "llama-yarn": 0,
    "mistral": 5,
    "mistral-window": 1,
    "qwen2": 1,
    "qwen3": 6,
    "falcon-multi-query": 1,
    "falcon-two-norms": 5,
    "falcon-one-norm": 14,
    "gemma3": 31,
}


def build(name: str) -> PreTrainedModel:
    """The model of that name, in float32, the same on every call."""
    model = _architecture(name).float().eval()
    _fill(model, torch.Generator().manual_seed(SEEDS[name]))
    return model


def save(name: str, folder: Path) -> PreTrainedModel:
    """Write config.json and safetensors into `folder`; the model is given back for comparison."""
    model = build(name)
    model.save_pretrained(folder)
    return model


def prompt(tokens: int) -> list[int]:
    """Seeded token ids, none of them special; another length is another text."""
    return torch.randint(3, VOCAB, (tokens,), generator=torch.Generator().manual_seed(tokens)).tolist()


def _architecture(name: str) -> PreTrainedModel:
    match name:
        case "llama":
            return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))
        case "llama-llama3":
            return LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3))
        case "llama-linear-biased":
            biases = {"attention_bias": True, "mlp_bias": True}
            return LlamaForCausalLM(LlamaConfig(**SIZES, **biases, head_dim=24, rope_parameters=LINEAR))
        case "llama-yarn":
            longer = SIZES | {"max_position_embeddings": 2048}
            return LlamaForCausalLM(LlamaConfig(**longer, rope_parameters=YARN))
        case "mistral":
            return MistralForCausalLM(MistralConfig(**SIZES, head_dim=32, sliding_window=None))
        case "mistral-window":
            return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=20))
        case "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True))
        case "qwen3":
            return Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=32))
        case "falcon-multi-query":
            return FalconForCausalLM(FalconConfig(**FALCON, new_decoder_architecture=False, multi_query=True))
        case "falcon-two-norms":
            grouped = {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}
            return FalconForCausalLM(FalconConfig(**FALCON, **grouped, tie_word_embeddings=False))
        case "falcon-one-norm":
            grouped = {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1}
            return FalconForCausalLM(FalconConfig(**FALCON, **grouped))
        case "gemma3":
            return Gemma3ForCausalLM(Gemma3TextConfig(**(SIZES | GEMMA3)))
    raise ValueError(name)


def _fill(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Matrices that let every layer count for more than the embedding; norms near one; small biases."""
    centre = 0.0 if model.config.model_type == "gemma3_text" else 1.0  # gemma3 adds the one itself
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 2:
                parameter.copy_(noise * (0.2 if "embed" in name else 2.5) / parameter.shape[1] ** 0.5)
            else:
                parameter.copy_(noise * 0.2 + (0.0 if name.endswith("bias") else centre))

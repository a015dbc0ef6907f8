"""A tiny model folder that is real in every part: llama, seeded weights, one token per byte, a chat template.

What it says is noise, the same noise every time. For tests of what stands around a model.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

hidden, ffn, layers, heads, kv_heads, head_dim = 32, 64, 2, 4, 2, 8
begin, end = "<|begin|>", "<|end|>"
vocab = 256 + 2
template = (
    "{% for message in messages %}{{ '<|begin|>' + message['role'] + ':' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}<|begin|>assistant:{% endif %}"
)


def write_speaking_model(folder: Path, *, max_positions: int = 512, seed: int = 0) -> Path:
    """`folder`, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocab,
        "max_position_embeddings": max_positions,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "bos_token_id": 256,
        "eos_token_id": 257,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(seed), folder / "model.safetensors")
    _tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"bos_token": begin, "eos_token": end, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _weights(seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=random) * columns**-0.5 * 2

    weights = {"model.embed_tokens.weight": matrix(vocab, hidden), "model.norm.weight": torch.ones(hidden)}
    for layer in range(layers):
        name = f"model.layers.{layer}."
        weights |= {
            f"{name}self_attn.q_proj.weight": matrix(heads * head_dim, hidden),
            f"{name}self_attn.k_proj.weight": matrix(kv_heads * head_dim, hidden),
            f"{name}self_attn.v_proj.weight": matrix(kv_heads * head_dim, hidden),
            f"{name}self_attn.o_proj.weight": matrix(hidden, heads * head_dim),
            f"{name}mlp.gate_proj.weight": matrix(ffn, hidden),
            f"{name}mlp.up_proj.weight": matrix(ffn, hidden),
            f"{name}mlp.down_proj.weight": matrix(hidden, ffn),
            f"{name}input_layernorm.weight": torch.ones(hidden),
            f"{name}post_attention_layernorm.weight": torch.ones(hidden),
        }
    return weights


def _tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={character: id for id, character in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (begin, end)])
    return tokenizer

"""What a key means that config.json leaves out. Gemma 3's larger files name little that is not in here.

Knows data only. A key that stands nowhere here means the same for all families, or must be there.
"""

from collections.abc import Mapping

from headway.spec.model import Family

_qwen = {
    "num_key_value_heads": 32,
    "max_position_embeddings": 32_768,
    "use_sliding_window": False,
    "sliding_window": 4_096,
    "max_window_layers": 28,
}
_gemma3 = {
    "vocab_size": 262_208,
    "hidden_size": 2_304,
    "intermediate_size": 9_216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4_096,
    "sliding_window_pattern": 6,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
_special_ids = {"eos_token_id": 2, "bos_token_id": 1}
left_out: dict[Family, Mapping[str, object]] = {
    "llama": {"max_position_embeddings": 2_048, **_special_ids},
    "mistral": {
        "max_position_embeddings": 131_072,
        "num_key_value_heads": 8,
        "sliding_window": 4_096,
        **_special_ids,
    },
    "qwen2": _qwen,
    "qwen3": {**_qwen, "head_dim": 128},
    "falcon": {
        "max_position_embeddings": 2_048,
        "tie_word_embeddings": True,
        "eos_token_id": 11,
        "bos_token_id": 11,
    },
    "gemma3": _gemma3,
}

"""What cannot be computed exactly, or is no configuration at all, is refused by file and reason."""

from pathlib import Path
from typing import Any

import pytest

from headway.spec import BadModel, read_spec
from tests.model.configs import FALCON, GEMMA3, LLAMA, spec_of


def reason(folder: Path, config: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(BadModel) as refused:
        spec_of(folder, config, **changes)
    assert refused.value.path == folder / "config.json"
    return refused.value.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"auto_map": {"AutoModel": "a.B"}}, "auto_map asks for code from the folder, which is never run"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config is set"),
        ({"model_type": "mixtral"}, "model_type 'mixtral' is not supported; supported: llama, mistral"),
        ({"model_type": None}, "model_type is missing"),
        ({"model_type": ["llama"]}, "model_type is ['llama'], not text"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures names 'LlamaForSequence"),
        ({"architectures": ["MistralForCausalLM"]}, "architectures names 'MistralForCausalLM'"),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000; at most 4,194,304 is supported"),
        ({"vocab_size": 10**4000}, "vocab_size is an integer of 13,288 bits"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1, not a whole number above 0"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; at most 1,024"),
        ({"hidden_size": True}, "hidden_size is True, not a whole number"),
        ({"hidden_size": 64.0}, "hidden_size is 64.0, not a whole number"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3, which does not divide the 4"),
        ({"head_dim": 15}, "head_dim is 15; rotary positions turn pairs"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps is inf, not a finite number"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported; supported: silu"),
        ({"eos_token_id": 320}, "eos_token_id is 320: a token id lies between 0 and 319"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', not true or false"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is not 1"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' makes a text's answer depend"),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope' makes a text's answer depend"),
        ({"rope_scaling": {"type": "su"}}, "'su' is not supported; supported: default, linear, llama3, yarn"),
        ({"rope_scaling": {"type": "linear"}}, "factor is missing"),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": 1}}}, "rope_parameters differs by kind"),
    ],
)
def test_what_cannot_be_computed_exactly_is_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    assert expected in reason(tmp_path, LLAMA, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"alibi": True}, "alibi is set; only rotary positions are supported"),
        ({"num_attention_heads": 5}, "hidden_size is 64, not a multiple of the 5"),
        ({"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn is 2 without new_decoder_architecture"),
        ({"new_decoder_architecture": True, "parallel_attn": False}, "parallel_attn is false beside"),
        ({"multi_query": False, "num_kv_heads": 2}, "num_kv_heads differs"),
    ],
)
def test_falcons_that_transformers_cannot_run_either_are_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    assert expected in reason(tmp_path, FALCON, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is set"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention is set"),
        ({"layer_types": ["full_attention"] * 7}, "layer_types is not a list"),
        ({"layer_types": ["chunked_attention"] * 8}, "layer_types is not a list"),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, "has no full_attention"),
    ],
)
def test_gemma3s_odd_settings_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in reason(tmp_path, GEMMA3, **changes)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a": ' * 100_000, '{"vocab_size": ' + "9" * 5_000 + "}", "\ud800", "7"],
    ids=["empty", "list", "cut", "deep", "long number", "no UTF-8", "number"],
)
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(BadModel, match=r"config.json: (not readable as JSON|holds no JSON object)"):
        read_spec(tmp_path)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"config.json: is missing"):
        read_spec(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"gone\.gguf: cannot be read: No such file"):
        read_spec(tmp_path / "gone.gguf")

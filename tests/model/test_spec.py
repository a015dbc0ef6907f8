"""config.json: understood as transformers understands it, in both spellings, or refused by name."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    FalconConfig,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from headway.model.decoder import Decoder
from headway.model.weights import load_weights
from headway.spec import BadModel, LinearScaling, Llama3Scaling, ModelSpec, Rope, YarnScaling, read_spec
from tests.model.golden import assert_same, reference
from tests.models import tiny
from tests.models.greedy import greedy

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


def reason(folder: Path, config: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(BadModel) as refused:
        spec_of(folder, config, **changes)
    assert refused.value.path == folder / "config.json"
    return refused.value.reason


@pytest.mark.parametrize("name", tiny.SEEDS)
def test_every_parameter_of_a_saved_model_has_its_place(tmp_path: Path, name: str) -> None:
    model = tiny.save(name, tmp_path)

    assert read_spec(tmp_path).parameters == sum(parameter.numel() for parameter in model.parameters())


def test_kv_bytes_count_k_and_v_of_every_layer(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)

    assert spec.kv_bytes_per_token(2) == 2 * 3 * 2 * 16 * 2


def test_the_simulator_can_read_a_spec_without_torch() -> None:
    program = "import sys, headway.spec; assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", program], check=True)


# Spellings


@pytest.mark.parametrize(
    "scaling",
    [
        {"factor": 4.0, "kind": "linear"},
        {"kind": "yarn", "factor": 4.0, "original_max_position_embeddings": 128},
        {key: value for key, value in (tiny.LLAMA3 | {"kind": "llama3"}).items() if key[:5] != "rope_"},
    ],
    ids=lambda scaling: scaling["kind"],
)
def test_transformers_4_and_5_spell_the_same_rope(tmp_path: Path, scaling: dict[str, Any]) -> None:
    kind, numbers = scaling["kind"], {key: value for key, value in scaling.items() if key != "kind"}

    five = spec_of(tmp_path, LLAMA, rope_parameters={"rope_type": kind, "rope_theta": 7e4, **numbers})
    four = spec_of(tmp_path, LLAMA, rope_theta=7e4, rope_scaling={"rope_type": kind, **numbers})
    older = spec_of(tmp_path, LLAMA, rope_theta=7e4, rope_scaling={"type": kind, **numbers})

    assert five == four == older
    assert five.ropes[0].theta == 7e4
    assert five.ropes[0].scaling is not None


def test_gemma3s_two_thetas_in_both_spellings(tmp_path: Path) -> None:
    four = spec_of(
        tmp_path,
        GEMMA3,
        rope_theta=5e5,
        rope_local_base_freq=2e4,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
        sliding_window_pattern=4,
    )
    five = spec_of(
        tmp_path,
        GEMMA3,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
        },
        layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 2,
    )

    assert four == five
    assert four.ropes[:4] == (Rope(2e4),) * 3 + (Rope(5e5, LinearScaling(8.0)),)
    assert four.windows[:4] == (4096, 4096, 4096, None)


def test_a_null_is_a_key_left_out(tmp_path: Path) -> None:
    values = LLAMA | {"rope_scaling": None, "head_dim": None, "num_key_value_heads": None, "auto_map": None}
    (tmp_path / "config.json").write_text(json.dumps(values))

    assert read_spec(tmp_path) == spec_of(tmp_path, LLAMA, num_key_value_heads=4)


# What a file leaves out


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "falcon", "gemma3_text"])
def test_what_a_file_leaves_out_means_what_transformers_takes_it_for(tmp_path: Path, family: str) -> None:
    sparse = {"model_type": family, "num_hidden_layers": 4}
    if family != "gemma3_text":
        sparse |= {"vocab_size": 320, "hidden_size": 1024, "num_attention_heads": 32, "intermediate_size": 96}
    (tmp_path / "config.json").write_text(json.dumps(sparse))
    config = AutoConfig.from_pretrained(tmp_path)
    filled = tmp_path / "filled"
    config.save_pretrained(filled)

    sparsely, fully = read_spec(tmp_path), read_spec(filled)

    assert sparsely == replace(fully, dtype=None)
    assert config.max_position_embeddings == sparsely.max_positions
    assert config.tie_word_embeddings == sparsely.tied
    assert config.get_text_config().vocab_size == sparsely.vocab


def test_gemma3s_text_half_inside_a_model_that_sees(tmp_path: Path) -> None:
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240}
    text |= {"num_hidden_layers": 34, "sliding_window": 1024}
    text |= {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    outer = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}

    spec = spec_of(tmp_path, outer, text_config=text, eos_token_id=[1, 106], dtype="bfloat16")

    assert (spec.heads, spec.kv_heads, spec.head_dim, spec.vocab) == (8, 4, 256, 262_208)
    assert spec.windows[:6] == (1024,) * 5 + (None,)
    assert spec.ropes[5] == Rope(1_000_000.0, LinearScaling(8.0))
    assert (spec.eos_ids, spec.dtype, spec.embed_scale) == ((1, 106), "bfloat16", 2560**0.5)


def test_the_generation_config_has_the_last_word_on_what_ends_a_text(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 2], "bos_token_id": 5}')

    spec = spec_of(tmp_path, LLAMA, eos_token_id=2, bos_token_id=1)

    assert (spec.eos_ids, spec.bos_id) == ((7, 2), 5)


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        ({}, (None, None, None)),
        ({"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}, (None, 9, 9)),
        ({"sliding_window": 9, "max_window_layers": 1}, (None, None, None)),
        (
            {
                "use_sliding_window": True,
                "sliding_window": 9,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
            (9, None, 9),
        ),
    ],
)
def test_qwens_windows(tmp_path: Path, changes: dict[str, Any], windows: tuple[int | None, ...]) -> None:
    assert (
        spec_of(tmp_path, LLAMA | {"model_type": "qwen2", "architectures": None}, **changes).windows
        == windows
    )


@pytest.mark.parametrize(
    ("numbers", "original"),
    [
        ({"factor": 4.0}, None),
        ({"factor": 4.0, "mscale": 0.707, "mscale_all_dim": 1.2}, 128),
        ({"factor": 4.0, "mscale": 0.707}, 128),
        ({"factor": 4.0, "attention_factor": 1.25}, 128),
        ({"factor": 1.0}, 128),
        ({"factor": None}, 128),
    ],
)
def test_yarns_attention_factor_is_transformers(
    tmp_path: Path, numbers: dict[str, Any], original: int | None
) -> None:
    rope = {"rope_type": "yarn", "rope_theta": 1e4, **numbers}
    if original is not None:
        rope["original_max_position_embeddings"] = original
    theirs = LlamaConfig(**tiny.SIZES, rope_parameters=dict(rope))

    scaling = spec_of(tmp_path, LLAMA, rope_parameters=rope).ropes[0].scaling

    assert isinstance(scaling, YarnScaling)
    assert scaling.attention_factor == ROPE_INIT_FUNCTIONS["yarn"](theirs, torch.device("cpu"))[1]


def test_a_yarn_model_reaches_as_far_as_it_is_stretched(tmp_path: Path) -> None:
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}

    assert spec_of(tmp_path, LLAMA, rope_scaling=rope).max_positions == 2048


def test_llama_3s_original_context_at_the_top_of_the_file_outweighs_the_one_within(tmp_path: Path) -> None:
    scaling = (
        spec_of(tmp_path, LLAMA, rope_parameters=tiny.LLAMA3, original_max_position_embeddings=32)
        .ropes[0]
        .scaling
    )

    assert isinstance(scaling, Llama3Scaling)
    assert scaling.original_max_positions == 32


# Switches that the shared tiny models leave as they are


RARER: dict[str, PreTrainedConfig] = {
    "falcon, one after the other": FalconConfig(**tiny.FALCON, parallel_attn=False),
    "falcon, a K and V for every head": FalconConfig(**tiny.FALCON, multi_query=False, bias=True),
    "falcon, tanh": FalconConfig(**tiny.FALCON, activation="gelu_pytorch_tanh"),
    "llama, gelu": LlamaConfig(**tiny.SIZES, hidden_act="gelu"),
    "qwen2, a window in its last layers": Qwen2Config(
        **tiny.SIZES, use_sliding_window=True, sliding_window=12, max_window_layers=1
    ),
    "qwen3, biases": Qwen3Config(**tiny.SIZES, head_dim=32, attention_bias=True),
    "gemma3, softcap": Gemma3TextConfig(**(tiny.SIZES | tiny.GEMMA3), final_logit_softcapping=5.0),
}


@pytest.mark.parametrize("name", RARER)
def test_a_rarer_switch_means_what_it_means_in_transformers(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(RARER[name]).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape) * (1.5 / parameter.shape[-1] ** 0.5)
    model.save_pretrained(tmp_path)
    spec = read_spec(tmp_path)
    prompts = [tiny.prompt(23)]

    ours = greedy(Decoder(spec, load_weights(tmp_path, spec, torch.float32)), spec, prompts, 8)

    assert_same([reference(model, prompt, 8) for prompt in prompts], ours)


# Refusals


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
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' depends on the longest text"),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope' depends on the longest text"),
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

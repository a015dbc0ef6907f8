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
from headway.spec import LinearScaling, Llama3Scaling, Rope, YarnScaling, read_spec
from tests.model.configs import GEMMA3, LLAMA, spec_of
from tests.model.golden import assert_same, reference
from tests.models import tiny
from tests.models.greedy import greedy


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

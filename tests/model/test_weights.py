"""A model folder's weights: in our layout whatever the family, or refused before memory is taken for them."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, FalconConfig, PreTrainedConfig, Qwen3Config

from headway.model.weights import load_weights
from headway.spec import BadModel, read_spec
from tests.model.layout import in_our_layout
from tests.models import tiny

RARER: dict[str, PreTrainedConfig] = {
    "falcon, one after the other": FalconConfig(**tiny.FALCON, parallel_attn=False),
    "falcon, a K and V for every head": FalconConfig(**tiny.FALCON, multi_query=False, bias=True),
    "qwen3 with biases": Qwen3Config(**tiny.SIZES, head_dim=32, attention_bias=True),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny llama, tied, in one file."""
    tiny.save("llama", tmp_path)
    return tmp_path


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    """None takes a tensor out. A double underscore stands for a dot."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if tensor is not None:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, path)


def refusal(folder: Path) -> str:
    with pytest.raises(BadModel) as refused:
        load_weights(folder, read_spec(folder), torch.float32)
    return str(refused.value)


def assert_same(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(weights) == list(expected)
    for name, tensor in weights.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("name", tiny.SEEDS)
def test_every_family_is_laid_out_in_the_one_way(tmp_path: Path, name: str) -> None:
    model = tiny.save(name, tmp_path)

    assert_same(load_weights(tmp_path, read_spec(tmp_path), torch.float32), in_our_layout(model))


@pytest.mark.parametrize("name", RARER)
def test_rarer_blocks_are_laid_out_in_the_same_way(tmp_path: Path, name: str) -> None:
    model = AutoModelForCausalLM.from_config(RARER[name])
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.normal_(generator=torch.Generator().manual_seed(number))
    model.save_pretrained(tmp_path)

    assert_same(load_weights(tmp_path, read_spec(tmp_path), torch.float32), in_our_layout(model))


@pytest.mark.parametrize("name", ["llama-linear-biased", "falcon-two-norms", "gemma3"])
def test_names_and_shapes_are_those_that_the_spec_tells(tmp_path: Path, name: str) -> None:
    tiny.save(name, tmp_path)
    spec = read_spec(tmp_path)

    weights = load_weights(tmp_path, spec, torch.float32)

    assert [(name, tuple(tensor.shape)) for name, tensor in weights.items()] == list(spec.tensors())


def test_a_sharded_model_is_the_same_as_a_whole_one(tmp_path: Path) -> None:
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    tiny.save("qwen3", whole).save_pretrained(sharded, max_shard_size="100KB")
    assert len(list(sharded.glob("*.safetensors"))) > 3

    weights = load_weights(sharded, read_spec(sharded), torch.float32)

    assert_same(weights, load_weights(whole, read_spec(whole), torch.float32))


def test_weights_are_cast_to_the_wanted_dtype(folder: Path) -> None:
    weights = load_weights(folder, read_spec(folder), torch.bfloat16)

    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    exact = load_weights(folder, read_spec(folder), torch.float32)
    assert all(torch.equal(weights[name], exact[name].bfloat16()) for name in weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read_without_loss(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny.build("qwen2").to(dtype)
    model.save_pretrained(tmp_path)

    weights = load_weights(tmp_path, read_spec(tmp_path), torch.float32)

    assert_same(weights, in_our_layout(model.float()))
    assert read_spec(tmp_path).dtype == str(dtype).removeprefix("torch.")


def test_gemma3s_norms_keep_float32_so_that_the_one_in_them_costs_no_bits(tmp_path: Path) -> None:
    model = tiny.save("gemma3", tmp_path)

    weights = load_weights(tmp_path, read_spec(tmp_path), torch.bfloat16)

    float32 = {name for name, tensor in weights.items() if tensor.dtype == torch.float32}
    assert float32 == {name for name in weights if name.endswith("norm")}
    assert torch.equal(weights["final_norm"], model.model.norm.weight + 1)


@pytest.mark.parametrize("base", ["model.language_model.", "language_model.model."])
def test_gemma3s_language_model_is_found_beside_its_eyes(tmp_path: Path, base: str) -> None:
    model = tiny.save("gemma3", tmp_path)
    text = json.loads((tmp_path / "config.json").read_text())
    outer = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": text}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    tensors = load_file(tmp_path / "model.safetensors")
    inside = {name.replace("model.", base, 1): tensor for name, tensor in tensors.items()}
    eyes = {"vision_tower.a.weight": torch.ones(3), "model.multi_modal_projector.b": torch.ones(2)}
    save_file(inside | eyes, tmp_path / "model.safetensors")

    spec = read_spec(tmp_path)

    assert_same(load_weights(tmp_path, spec, torch.float32), in_our_layout(model))


def test_a_tied_head_that_was_saved_all_the_same_is_no_matter(folder: Path) -> None:
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change_tensors(folder, lm_head__weight=embedding.clone())

    assert "head" not in load_weights(folder, read_spec(folder), torch.float32)


def test_a_tied_head_that_differs_is_refused(folder: Path) -> None:
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change_tensors(folder, lm_head__weight=embedding + 1)

    assert "tensor 'lm_head.weight' has no place" in refusal(folder)


def test_progress_tells_the_files_bytes_up_to_the_last(folder: Path) -> None:
    told: list[tuple[int, int]] = []

    load_weights(folder, read_spec(folder), torch.bfloat16, lambda done, total: told.append((done, total)))

    stored = sum(tensor.nbytes for tensor in load_file(folder / "model.safetensors").values())
    assert told == sorted(told)
    assert {total for _, total in told} == {stored}
    assert told[-1] == (stored, stored)


def test_a_missing_tensor_is_refused(folder: Path) -> None:
    change_tensors(folder, model__layers__1__mlp__up_proj__weight=None)

    assert "tensor 'model.layers.1.mlp.up_proj.weight' is missing" in refusal(folder)


def test_a_surplus_tensor_is_refused(folder: Path) -> None:
    change_tensors(folder, model__layers__3__mlp__up_proj__weight=torch.ones(96, 64))

    assert "tensor 'model.layers.3.mlp.up_proj.weight' has no place in a llama model" in refusal(folder)


def test_a_table_of_rotary_frequencies_is_ignored(folder: Path) -> None:
    change_tensors(folder, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(8))

    assert load_weights(folder, read_spec(folder), torch.float32)


def test_a_shape_that_disagrees_with_the_config_is_refused(folder: Path) -> None:
    change_config(folder, intermediate_size=128)

    assert "has shape [96, 64]; the model's is [128, 64]" in refusal(folder)


def test_a_model_larger_than_its_files_is_refused_before_memory_is_taken_for_it(folder: Path) -> None:
    change_config(folder, vocab_size=4_000_000, hidden_size=131_072, head_dim=64, intermediate_size=1 << 20)

    assert "the model's is [4000000, 131072]" in refusal(folder)  # two terabytes


def test_numbers_of_other_types_are_refused(folder: Path) -> None:
    change_tensors(folder, model__norm__weight=torch.ones(64, dtype=torch.float64))

    assert "tensor 'model.norm.weight' is of type F64, not F32, F16, BF16" in refusal(folder)


def test_pickled_weights_alone_are_refused_by_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    message = refusal(folder)

    assert str(folder / "pytorch_model.bin") in message
    assert "pickled weights can run code" in message


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    assert "model.safetensors: is missing" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    tiny.save("llama", folder)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")

    assert f"{folder / name}: is a link out of the model's folder" in refusal(folder)


def test_the_hub_caches_links_into_the_same_models_blobs_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "models--a--b" / "snapshots" / "0123"
    tiny.save("llama", folder)
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    for path in list(folder.iterdir()):
        path.rename(blobs / path.name)
        path.symlink_to(Path(os.path.relpath(blobs / path.name, folder)))

    assert load_weights(folder, read_spec(folder), torch.float32)


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        ({"a": "../model.safetensors"}, "names a file outside the model's folder"),
        ({"a": "/etc/passwd"}, "names a file outside the model's folder"),
        ({"a": "gone.safetensors"}, "gone.safetensors: is missing"),
        ({"a": 7}, "weight_map is not a mapping"),
        (None, "weight_map is not a mapping"),
    ],
)
def test_an_index_leads_to_files_of_the_folder_only(folder: Path, weight_map: Any, reason: str) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    assert reason in refusal(folder)


def safetensors_bytes(entries: dict[str, Any], data: int = 64) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE = {
    "empty": b"",
    "a header of 2^63 bytes": struct.pack("<Q", 1 << 63) + bytes(64),
    "a header longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
    "no JSON": struct.pack("<Q", 8) + b"pickles!",
    "an array of arrays of arrays": struct.pack("<Q", 1 << 16) + b"[" * (1 << 16),
    "an offset beyond the file": safetensors_bytes({"t": entry([1 << 40], 0, 1 << 42)}),
    "an offset of 2^63": safetensors_bytes({"t": entry([4], 1 << 63, (1 << 63) + 16)}),
    "overlapping tensors": safetensors_bytes({"t": entry([16], 0, 64), "u": entry([8], 32, 64)}),
    "a hole": safetensors_bytes({"t": entry([4], 48, 64)}),
    "a shape larger than its bytes": safetensors_bytes({"t": entry([1 << 20], 0, 64)}),
    "a shape whose product overflows": safetensors_bytes({"t": entry([1 << 62, 1 << 62], 0, 64)}),
    "bytes that belong to nothing": safetensors_bytes({"t": entry([4], 0, 16)}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_safetensors_header_is_refused_by_file_and_reason(folder: Path, case: str) -> None:
    (folder / "model.safetensors").write_bytes(HOSTILE[case])

    message = refusal(folder)

    assert str(folder / "model.safetensors") in message
    assert "not a sound safetensors file" in message

"""GGUF files: blocks become the numbers that the gguf package makes of them, and a converted model has the
weights of the one that it was made from.
"""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType
from transformers import AutoModelForCausalLM, FalconConfig, FalconForCausalLM

from headway import hub
from headway.model.weight_files import GGUFBlocks
from headway.model.weights import load_weights
from headway.spec import BadModel, DivisorScaling, ModelSpec, read_spec
from headway.spec.gguf_file import block_types
from tests.model.gguf_writing import write_gguf
from tests.model.layout import in_our_layout
from tests.models import tiny

# What the format cannot say is not compared: GGUF has no word for mistral's window, nor falcon's biases.
CONVERTED = [name for name in tiny.SEEDS if name not in ("mistral-window", "falcon-two-norms")]


def random_blocks(kind: GGMLQuantizationType, rows: int, columns: int) -> np.ndarray:
    """Any bytes are blocks; those that would be scales of no finite size are made harmless."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    generator = np.random.default_rng(kind)
    if elements == 1:
        return gguf.quantize(generator.standard_normal((rows, columns), np.float32), kind).view(np.uint8)
    blocks = generator.integers(0, 256, (rows, columns // elements, size), np.uint8)
    blocks[..., [1, 3, size - 1, size - 3]] &= 0x3B  # high bytes of halves, wherever the type keeps them
    return blocks.reshape(rows, -1)


@pytest.mark.parametrize("kind", block_types, ids=lambda kind: kind.name)
def test_blocks_become_the_numbers_that_the_gguf_package_makes_of_them(
    tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    rows, columns = 77, 768  # more than one piece, and pieces that do not end with the tensor
    blocks = random_blocks(kind, rows, columns)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("before", np.zeros(5, np.float32))
    writer.add_tensor("t", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    files = GGUFBlocks.open(tmp_path / "a.gguf")
    ours = torch.cat([piece.clone() for piece in files.rows("t")])

    [stored] = [t for t in gguf.GGUFReader(tmp_path / "a.gguf").tensors if t.name == "t"]
    theirs = torch.from_numpy(gguf.dequantize(stored.data.view(np.uint8), kind).copy())
    assert files.shapes["t"] == (rows, columns)
    assert ours.unique().numel() > 16
    assert torch.equal(ours.view(torch.int32), theirs.view(torch.int32))


def test_a_tensors_blocks_are_within_reach_as_they_are_stored(tmp_path: Path) -> None:
    blocks = random_blocks(GGMLQuantizationType.Q4_K, 3, 512)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_tensor("t", blocks, raw_dtype=GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    files = GGUFBlocks.open(tmp_path / "a.gguf")

    assert files.type("t") is GGMLQuantizationType.Q4_K
    np.testing.assert_array_equal(files.blocks("t"), blocks)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_converted_model_has_the_weights_and_the_spec_of_its_origin(tmp_path: Path, name: str) -> None:
    model = tiny.save(name, tmp_path)
    write_gguf(model, tmp_path / "model.gguf")

    assert_same_model(tmp_path, tmp_path / "model.gguf")


def test_of_falcons_two_norms_the_second_is_attentions(tmp_path: Path) -> None:
    model = FalconForCausalLM(
        FalconConfig(**tiny.FALCON, new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False)
    )
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.normal_(generator=torch.Generator().manual_seed(number))
    model.save_pretrained(tmp_path)
    write_gguf(model, tmp_path / "model.gguf")

    assert_same_model(tmp_path, tmp_path / "model.gguf")


def assert_same_model(folder: Path, file: Path) -> None:
    ours, origin = read_spec(file), read_spec(folder)
    assert differing(ours, origin) <= {"family", "dtype", "ropes", "norm_eps", "attention_scale"}
    if origin.family != "gemma3":  # whose query scale and pattern of layers llama.cpp fixes in its source
        assert ours.attention_scale == origin.attention_scale
    weights, expected = load_weights(file, ours, torch.float32), load_weights(folder, origin, torch.float32)
    assert list(weights) == list(expected)
    for name, tensor in weights.items():
        assert torch.equal(tensor, expected[name]), name


def differing(a: ModelSpec, b: ModelSpec) -> set[str]:
    windows = {"windows"} if a.family == "gemma3" else set()
    names = set(ModelSpec.__dataclass_fields__) - windows
    return {name for name in names if getattr(a, name) != getattr(b, name)}


def test_rotary_parameters_survive_the_conversion(tmp_path: Path) -> None:
    for name in ("llama", "llama-linear-biased", "llama-yarn", "qwen3"):
        folder = tmp_path / name
        write_gguf(tiny.save(name, folder), folder / "model.gguf")
        assert read_spec(folder / "model.gguf").ropes == read_spec(folder).ropes


def test_llama_3s_scaling_comes_as_one_divisor_for_each_frequency(tmp_path: Path) -> None:
    write_gguf(tiny.build("llama-llama3"), tmp_path / "model.gguf")

    rope = read_spec(tmp_path / "model.gguf").ropes[0]

    assert isinstance(rope.scaling, DivisorScaling)
    assert rope.scaling.divisors[0] == 1.0  # the shortest wavelength is kept, the longest stretched
    assert rope.scaling.divisors[-1] == tiny.LLAMA3["factor"]


def test_every_sixth_of_gemma3s_layers_sees_everything(tmp_path: Path) -> None:
    write_gguf(tiny.build("gemma3"), tmp_path / "model.gguf", {"attention.sliding_window_pattern": 3})

    spec = read_spec(tmp_path / "model.gguf")

    assert spec.windows == (16, 16, None, 16)
    assert [rope.theta for rope in spec.ropes] == [10_000.0, 10_000.0, 1_000_000.0, 10_000.0]
    write_gguf(tiny.build("gemma3"), tmp_path / "model.gguf")
    assert read_spec(tmp_path / "model.gguf").windows == (16, 16, 16, 16)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"expert_count": 8}, "llama.expert_count is 8"),
        ({"attention.scale": 0.5}, "llama.attention.scale is not known"),
        ({"rope.scaling.type": "longrope", "rope.scaling.factor": 2.0}, "'longrope' is not supported"),
        ({"rope.dimension_count": 8}, "llama.rope.dimension_count differs"),
        ({"attention.head_count_kv": 3}, "llama.attention.head_count_kv is 3"),
        ({"block_count": 1_000_000}, "llama.block_count is 1000000; at most 1,024"),
        ({"vocab_size": 1 << 31}, "llama.vocab_size is 2147483648"),
        ({"vocab_size": 321}, "llama.vocab_size differs"),
        ({"context_length": "long"}, "llama.context_length is 'long'"),
        ({"attention.layer_norm_rms_epsilon": float("nan")}, "epsilon is nan, not a finite number"),
        ({"tokenizer.ggml.eos_token_id": 320}, "tokenizer.ggml.eos_token_id is 320"),
    ],
)
def test_metadata_that_would_change_the_model_is_refused(
    tmp_path: Path, metadata: dict[str, object], reason: str
) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(tiny.build("llama"), path, metadata)

    with pytest.raises(BadModel, match=reason) as refusal:
        read_spec(path)

    assert refusal.value.path == path


def test_an_architecture_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "rwkv6")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    with pytest.raises(BadModel, match="'rwkv6' is not supported; supported: llama, "):
        read_spec(path)


def test_a_model_in_parts_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint16("split.count", 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    with pytest.raises(BadModel, match="join the parts into one file first"):
        read_spec(path)


def real_file(alias: str) -> Path:
    """A real model that the program has fetched."""
    fetched = [model.path for model in hub.models() if model.name == alias]
    if not fetched:
        pytest.skip(f"{alias} is not here: run `headway models pull {alias}`")
    return fetched[0]


def test_smollm2_is_read_whole() -> None:
    spec = read_spec(real_file("smollm2"))

    assert (spec.layers, spec.hidden, spec.heads, spec.kv_heads) == (30, 576, 9, 3)
    assert (spec.head_dim, spec.ffn, spec.vocab, spec.tied) == (64, 1536, 49152, True)
    assert (spec.max_positions, spec.ropes[0].theta, spec.eos_ids) == (8192, 100_000.0, (2,))
    assert spec.kv_bytes_per_token(4) == 2 * 30 * 3 * 64 * 4
    assert spec.parameters == 134_515_008


@pytest.mark.slow
@pytest.mark.parametrize("alias", ["smollm2", "gemma3-270m"])
def test_a_real_model_has_the_weights_that_transformers_reads_from_the_same_file(alias: str) -> None:
    path = real_file(alias)
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    spec = read_spec(path)

    weights = load_weights(path, spec, torch.float32)

    expected = in_our_layout(theirs)
    assert list(weights) == list(expected)
    for name, tensor in weights.items():
        if spec.float32_norms and name.endswith("norm"):  # transformers takes the one off and adds it again
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)
        else:
            assert torch.equal(tensor, expected[name]), name

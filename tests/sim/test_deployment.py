"""What a deployment is, what it refuses, what fits; devices and models by name and from files; messages."""

import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from headway.clock import VirtualClock
from headway.core.types import Batch, Joined, Sampling, Slice
from headway.sim.deployment import Deployment, degrees
from headway.sim.devices import BadDevice, device, read_devices
from headway.sim.executor import SimExecutor
from headway.sim.fits import ETHERNET_SENDS
from headway.sim.interconnect import Link, all_reduce_s, send_s
from headway.sim.memory import DoesNotFit
from headway.sim.models import MODELS, model
from headway.sim.precision import Precision
from headway.spec import BadModel
from tests.sim.deployed import batch, decode

# billions of parameters, and bytes of K and V a token in 16 bit
published = {
    "Mistral-7B": (7.24, 131_072),
    "Yi-34B": (34.4, 245_760),
    "Llama2-7B": (6.74, 524_288),
    "Llama2-13B": (13.0, 819_200),
    "Llama2-70B": (69.0, 327_680),
    "Falcon-180B": (178.6, 163_840),
    "Llama3-8B": (8.03, 131_072),
    "Llama3-70B": (70.6, 327_680),
    "MPT-7B": (6.65, 524_288),
    "OPT-13B": (12.8, 819_200),
    "OPT-66B": (65.7, 2_359_296),
    "OPT-175B": (174.6, 4_718_592),
    "Qwen3-0.6B": (0.6, 114_688),
    "Qwen3-4B": (4.0, 147_456),
    "Qwen3-8B": (8.2, 147_456),
    "Qwen3-14B": (14.8, 163_840),
    "Qwen3-32B": (32.8, 262_144),
    "SmolLM2-135M": (0.1345, 23_040),
}


def test_named_models_have_their_published_sizes() -> None:
    assert set(MODELS) == set(published)
    for name, (billions, kv_bytes) in published.items():
        assert MODELS[name].parameters == pytest.approx(billions * 1e9, rel=0.012), name
        assert MODELS[name].kv_bytes == kv_bytes, name


def config(folder: Path, **changes: object) -> Path:
    """SmolLM2's config.json, changed."""
    values = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 30,
        "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
        "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "tie_word_embeddings": True, "rope_theta": 1e5,
    }  # fmt: skip
    path = folder / "config.json"
    path.write_text(json.dumps(values | changes))
    return path


def test_a_config_json_works_as_well_as_a_name(tmp_path: Path) -> None:
    path = config(tmp_path)
    assert model(str(path)) == model(str(tmp_path)) == model("smollm2-135m") == MODELS["SmolLM2-135M"]
    config(tmp_path, quantization_config={"bits": 4})  # no weights are read
    assert model(str(path)).layers == 30


def test_a_bad_config_is_one_line_that_names_file_and_field(tmp_path: Path) -> None:
    path = config(tmp_path, num_attention_heads="nine")
    with pytest.raises(BadModel, match=r"config.json: num_attention_heads is 'nine'") as error:
        model(str(path))
    assert "\n" not in str(error.value)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'llama9' is not known.* Mistral-7B, Yi-34B"):
        model("llama9")
    with pytest.raises(ValueError, match=r"'a1000' is not known.* A100-40, A100-80"):
        device("a1000")


def test_devices_come_from_a_user_s_file_too(tmp_path: Path) -> None:
    text = "Card:\n  tflops: 200\n  gb: 32\n  gb_s: 900\n  nvlink_gb_s: 100\n  family: hopper\n"
    (tmp_path / "d.yaml").write_text(text)
    own = device("card", tmp_path / "d.yaml")
    assert (own.flop_s, own.memory_bytes, own.bytes_s, own.family) == (200e12, 32e9, 900e9, "hopper")
    mine = {"H100": {"tflops": 900, "gb": 80, "gb_s": 3000, "dollars_per_hour": 1.5}}
    (tmp_path / "d.json").write_text(json.dumps(mine))
    assert device("h100", tmp_path / "d.json").dollars_per_hour == 1.5
    assert device("A40", tmp_path / "d.json") is device("A40")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Card:\n  tflops: 200\n  gb: 32\n", r"d\.yaml: Card: gb_s: is missing"),
        ("Card:\n  tflops: fast\n  gb: 32\n  gb_s: 1\n", r"Card: tflops: 'fast' is not a number"),
        ("Card:\n  tflops: 200\n  gb: 32\n  gb_s: 1\n  fans: 3\n", r"Card: fans: no such field"),
        ("Card: 3\n", r"Card: is no mapping"),
        ("[1", r"d\.yaml: not readable"),
        ("", r"d\.yaml: holds no mapping"),
    ],
)
def test_a_bad_device_file_is_one_line_that_names_file_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(BadDevice, match=message) as error:
        read_devices(tmp_path / "d.yaml")
    assert "\n" not in str(error.value)


def test_what_cannot_be_is_refused_with_what_can() -> None:
    smol, a100 = model("SmolLM2-135M"), device("A100-80")
    assert degrees(smol) == [1, 3]
    assert degrees(model("Llama2-70B")) == [1, 2, 4, 8, 16, 32, 64]
    with pytest.raises(ValueError, match=r"TP 2 does not divide its 9 query heads.* TP can be 1, 3"):
        Deployment(smol, a100, tp=2)
    with pytest.raises(ValueError, match="PP 31 does not lie between 1 and its 30 layers"):
        Deployment(smol, a100, pp=31)
    with pytest.raises(ValueError, match="cannot be laid evenly on 2 nodes"):
        Deployment(smol, a100, tp=3, nodes=2)
    with pytest.raises(ValueError, match="A10: NVLink does not join 1"):
        Deployment(smol, device("A10"), link=Link.NVLINK)
    with pytest.raises(ValueError, match="family 'cpu' is not known"):
        Deployment(smol, replace(a100, family="cpu"))
    with pytest.raises(ValueError, match="memory_share"):
        Deployment(smol, a100, memory_share=1.5)


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    big = Deployment(model("Llama2-70B"), device("A100-80"))
    with pytest.raises(DoesNotFit, match=r"Llama2-70B does not fit on A100-80: .* 138\.0 GB of weights") as e:
        big.kv_blocks(16)
    assert "\n" not in str(e.value)
    assert replace(big, tp=4).kv_blocks(16) > 1000
    assert replace(big, pp=4).kv_blocks(16) > 1000
    assert replace(big, weights=Precision.INT4).kv_blocks(16) > 1000
    with pytest.raises(DoesNotFit):
        replace(big, tp=4, sequence_parallel=True).kv_blocks(16)


def test_blocks_follow_from_bytes() -> None:
    mistral = Deployment(model("Mistral-7B"), device("A100-80"), step_tokens=512)
    free = 0.9 * 80e9 - 2 * mistral.model.parameters
    assert 16 * mistral.kv_blocks(16) == pytest.approx(free / 131_072, rel=0.01)
    assert replace(mistral, kv=Precision.FP8).kv_blocks(16) == pytest.approx(2 * mistral.kv_blocks(16), abs=2)
    shared = Deployment(model("Mistral-7B"), device("A100-80"), tp=16)  # each KV head on two GPUs
    assert shared.kv_blocks(16) < 8.2 * 80e9 * 0.9 / 131_072 / 16


def test_links_follow_from_the_gpus() -> None:
    yi = Deployment(model("Yi-34B"), device("A100-80-PCIe"), tp=2)
    assert yi.layout.link is Link.NVLINK
    assert replace(yi, tp=4).layout.link is Link.PCIE
    assert replace(yi, link=Link.PCIE).layout.link is Link.PCIE
    falcon = Deployment(model("Falcon-180B"), device("A100-80-PCIe"), tp=4, pp=2, nodes=2)
    assert (falcon.layout.link, falcon.layout.stage_link) == (Link.PCIE, Link.ETHERNET)
    assert (falcon.depth, falcon.gpus, falcon.dollars_per_hour) == (2, 8, 12.0)
    across = replace(falcon, tp=8, pp=1)
    assert across.layout.link is Link.ETHERNET
    assert across.cost()(decode(1000, 32)) > 2 * falcon.cost()(decode(1000, 32))


def test_messages_are_tokens_by_hidden_in_16_bit_on_any_number_of_gpus() -> None:
    yi, falcon = model("Yi-34B"), model("Falcon-180B")
    assert yi.all_reduce_bytes(512) == 512 * 7168 * 2
    assert yi.all_reduces == 2 * 60
    assert falcon.all_reduces == 80


def test_all_reduces_grow_with_bytes_and_slower_links() -> None:
    a100 = device("A100-80")
    times = [all_reduce_s(a100, Link.NVLINK, 4, size) for size in (1e3, 1e6, 1e7, 1e8)]
    assert times == sorted(times)
    assert times[0] == pytest.approx(58.5e-6, rel=0.01)
    assert all_reduce_s(a100, Link.NVLINK, 1, 1e8) == 0
    by_link = [all_reduce_s(a100, link, 8, 1e7) for link in (Link.NVLINK, Link.PCIE, Link.ETHERNET)]
    assert by_link == sorted(by_link)
    for size, seconds in ETHERNET_SENDS:
        assert send_s(a100, Link.ETHERNET, size) == pytest.approx(seconds)
    assert send_s(a100, Link.ETHERNET, 32e6) == pytest.approx(2 * 7.4e-3)
    assert send_s(a100, Link.NVLINK, 300e6) == pytest.approx(1e-3, rel=0.03)


def test_utilisation_by_hand() -> None:
    mistral = Deployment(model("Mistral-7B"), device("A100-80"))
    work = decode(1000, 8)
    head = 32000 * 4096
    moved = 2 * (mistral.model.linear_weights + head) + 8000 * 131_072
    seconds = mistral.cost()(work)
    found = mistral.utilisation(work)
    assert found.mbu == pytest.approx(moved / seconds / 2039e9)
    assert found.bound_by == "memory"
    work = batch((1000, 2048, False))
    pairs = 2048 * (1000 + 2049 / 2)
    operations = 2 * mistral.model.linear_weights * 2048 + 4 * 32 * 32 * 128 * pairs
    found = mistral.utilisation(work)
    assert found.mfu == pytest.approx(operations / mistral.cost()(work) / 312e12)
    assert found.bound_by == "compute"
    assert found.mfu < 0.75


def test_a_pipeline_s_batches_overlap_and_a_small_one_waits_behind_a_large_one() -> None:
    def joining(*ids: int) -> Batch:
        joined = tuple(Joined(id, array("i", [1]), 1, 0, Sampling(), ()) for id in ids)
        return Batch(ids[0], (), joined, (), tuple(Slice(id, 0, 1, True) for id in ids))

    clock = VirtualClock()
    executor = SimExecutor(clock, lambda *_: 0, cost=lambda b: float(len(b.slices)), depth=2, stages=2)
    executor.submit(joining(1, 2, 3))
    executor.submit(joining(4))
    clock.move_to(9.0)
    large, small = executor.collect(), executor.collect()
    assert large is not None
    assert small is not None
    assert (large.start_s, large.end_s) == (0.0, 6.0)
    assert (small.start_s, small.end_s) == (
        3.0,
        7.0,
    )  # stage two is free at 6, stage one at 4

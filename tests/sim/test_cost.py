"""The cost model's parts, each where only it changes; and that its numbers stand in one place."""

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest

from headway.core.types import Batch
from headway.sim.cost import Components
from headway.sim.deployment import Deployment
from headway.sim.devices import DEVICES, device
from headway.sim.fits import GENERATIONS, VLLM_2023, Family, Generation, LinkFit, generation
from headway.sim.models import MODELS, model
from headway.sim.precision import Precision
from tests.sim.deployed import batch, decode, prefill

mistral = Deployment(model("Mistral-7B"), device("A100-80"))
llama70 = Deployment(model("Llama2-70B"), device("A100-80"), tp=4)
falcon = Deployment(model("Falcon-180B"), device("A100-80-PCIe"), tp=4, pp=2, nodes=2)


@pytest.mark.parametrize("deployment", [mistral, llama70, falcon, replace(llama70, sequence_parallel=True)])
@pytest.mark.parametrize("work", [prefill(700), decode(900, 32), batch((0, 512, False), (4000, 1, True))])
def test_components_add_up_to_the_cost_whatever_was_asked_before(deployment: Deployment, work: Batch) -> None:
    cost = deployment.cost()
    first = cost(work)
    assert cost(work) == first == deployment.cost()(work)
    parts = deployment.components(work)
    assert sum(parts) == pytest.approx(first)
    assert min(parts) >= 0


def test_each_kind_of_work_has_its_component() -> None:
    one = mistral.components(batch((0, 512, False)))
    assert one.prefill_attention > 0 == one.decode_attention == one.head == one.communication == one.bubbles
    other = mistral.components(decode(512))
    assert other.decode_attention > 0 == other.prefill_attention
    assert other.head > 0
    assert llama70.components(decode(512)).communication > 0
    assert falcon.components(decode(512)).bubbles > 0


def test_257_tokens_cost_about_a_third_more_than_256() -> None:
    ratio = mistral.components(prefill(257)).linear / mistral.components(prefill(256)).linear
    assert ratio == pytest.approx(4 / 3, abs=0.05)


def test_attention_depends_on_each_context_not_on_their_mean() -> None:
    even = mistral.components(batch((499, 1, True), (499, 1, True))).decode_attention
    uneven = mistral.components(batch((9, 1, True), (989, 1, True))).decode_attention
    assert uneven > even * 1.02
    old = replace(mistral, generation=VLLM_2023)
    crowd = [(99, 1, True)] * 15
    long = old.components(batch(*crowd, (8000, 1, True))).decode_attention
    spread = old.components(batch(*[(593, 1, True)] * 16)).decode_attention
    assert long > 3 * spread  # its kernel leaves one long context to one processor


def test_chunks_cost_as_much_attention_as_they_see() -> None:
    first, later = (mistral.components(batch((start, 1024, False))) for start in (0, 7168))
    assert later.prefill_attention > 5 * first.prefill_attention
    assert later.linear == first.linear


def test_drafts_cost_little_attention_and_their_rows_of_the_head() -> None:
    plain, drafted = mistral.components(decode(2000)), mistral.components(batch((1999, 5, True)))
    assert drafted.decode_attention == pytest.approx(plain.decode_attention, rel=0.01)
    assert drafted.linear == pytest.approx(plain.linear, rel=0.02)
    assert drafted.head > plain.head


def test_a_window_bounds_what_a_token_sees() -> None:
    windowed = replace(model("Mistral-7B"), windowed_layers=32, window=1024)
    near = replace(mistral, model=windowed)
    assert near.components(decode(8000)) == near.components(decode(1024))
    assert near.components(decode(500)) == mistral.components(decode(500))
    chunk = batch((6000, 512, False))
    assert near.components(chunk).prefill_attention < mistral.components(chunk).prefill_attention / 4
    half = replace(mistral, model=replace(windowed, windowed_layers=16))
    assert near.cost()(chunk) < half.cost()(chunk) < mistral.cost()(chunk)


def test_fewer_bits_read_fewer_bytes_and_multiply_faster_only_where_the_device_does() -> None:
    for name, gains in (("A100-80", False), ("H100", True)):
        whole = Deployment(model("Llama3-8B"), device(name))
        half = replace(whole, weights=Precision.FP8)
        assert half.components(decode(100)).linear < 0.7 * whole.components(decode(100)).linear
        faster = half.components(prefill(4096)).linear < whole.components(prefill(4096)).linear
        assert faster == gains
    four = replace(mistral, weights=Precision.INT4)
    assert four.components(decode(9)).linear < 0.5 * mistral.components(decode(9)).linear
    narrow = replace(mistral, kv=Precision.FP8)
    assert narrow.components(decode(4000)).decode_attention == pytest.approx(
        mistral.components(decode(4000)).decode_attention / 2
    )


def test_sequence_parallelism_sends_less_and_reads_more() -> None:
    ulysses = replace(llama70, sequence_parallel=True)
    long, short = prefill(8192), decode(1000, 4)
    assert ulysses.components(long).communication < llama70.components(long).communication / 2
    assert ulysses.cost()(long) < llama70.cost()(long)
    assert ulysses.components(short).linear > 3 * llama70.components(short).linear


def test_a_pipeline_s_stage_takes_its_part_of_the_layers() -> None:
    whole = Deployment(model("Llama2-70B"), device("A100-80"), tp=4)
    staged = replace(whole, pp=2)
    work = prefill(2048)
    one, two = whole.cost()(work), staged.cost()(work)
    assert one / 2 < two < 0.6 * one
    uneven = replace(whole, pp=3).components(work)  # 27, 27 and 26 layers
    assert uneven.bubbles > staged.components(work).bubbles


def test_generations_are_found_by_name_or_refused_with_the_names() -> None:
    assert generation("vllm-2023") is VLLM_2023
    with pytest.raises(ValueError, match="known: headway, vllm-2023"):
        generation("vllm-1999")


def test_a_fitted_number_stands_in_one_file_and_nothing_overrides_it() -> None:
    root = Path(__file__).parents[2]
    own = {field.name for kind in (Family, Generation, LinkFit) for field in fields(kind)} - {"name"}
    types = {"Family", "Generation", "LinkFit"}
    free = {"fits.py", "fit_cost.py", "simple_roofline.py"}  # the last has its own, older numbers
    for path in [*root.glob("src/headway/**/*.py"), *root.glob("benchmarks/**/*.py")]:
        if path.name in free or "sim" not in path.read_text():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                named = {keyword.arg for keyword in node.keywords}
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                assert called not in types, f"{path}:{node.lineno} makes its own {called}"
                assert called != "replace" or not named & own, f"{path}:{node.lineno} overrides {named & own}"


def test_every_model_and_device_has_a_cost_on_every_generation() -> None:
    for named in DEVICES.values():
        for each in GENERATIONS.values():
            parts = Deployment(model("SmolLM2-135M"), named, generation=each).components(decode(100, 8))
            assert isinstance(parts, Components)
            assert 1e-4 < sum(parts) < 0.1
    for dimensions in MODELS.values():
        assert Deployment(dimensions, device("H100")).cost()(prefill(64)) > 1e-4

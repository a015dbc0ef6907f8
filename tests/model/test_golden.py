"""Tiny models of every family give, from safetensors in float32, the tokens that transformers gives."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from headway.kernels.library import Unavailable, load_kernels
from headway.model import decoder
from headway.model.decoder import Decoder
from headway.model.native import native_parts
from headway.model.parts import Parts, plain_parts
from headway.model.weights import load_weights
from headway.spec import ModelSpec, read_spec
from tests.model.golden import assert_same, reference
from tests.models import tiny
from tests.models.greedy import Greedy, greedy

NEW_TOKENS = 64
LENGTHS = (1, 5, 23, 50)  # the last two are longer than the tiny models' windows


class Reference(NamedTuple):
    folder: Path
    spec: ModelSpec
    prompts: list[list[int]]
    expected: list[Greedy]


class Case(NamedTuple):
    spec: ModelSpec
    decoder: Decoder
    prompts: list[list[int]]
    expected: list[Greedy]


@pytest.fixture(scope="module", params=tiny.SEEDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny.save(request.param, folder)
    prompts = [tiny.prompt(length) for length in LENGTHS]
    return Reference(folder, read_spec(folder), prompts, [reference(model, p, NEW_TOKENS) for p in prompts])


@pytest.fixture(scope="module", params=["plain", "native"])
def case(request: pytest.FixtureRequest, made: Reference) -> Case:
    decoder = Decoder(
        made.spec, load_weights(made.folder, made.spec, torch.float32), parts_named(request.param, made.spec)
    )
    return Case(made.spec, decoder, made.prompts, made.expected)


def parts_named(name: str, spec: ModelSpec) -> Parts:
    if name == "plain":
        return plain_parts(spec)
    try:
        return native_parts(spec, load_kernels())
    except Unavailable as why:
        pytest.skip(str(why))


def test_the_reference_says_something_varied(case: Case) -> None:
    assert min(len(set(expected.tokens)) for expected in case.expected) >= 16


def test_prompts_of_many_lengths_in_one_batch(case: Case) -> None:
    assert_same(case.expected, greedy(case.decoder, case.spec, case.prompts, NEW_TOKENS))


def test_each_prompt_alone(case: Case) -> None:
    ours = [greedy(case.decoder, case.spec, [p], NEW_TOKENS)[0] for p in case.prompts]
    assert_same(case.expected, ours)


def test_prompts_in_chunks_of_seven_while_others_decode(case: Case) -> None:
    assert_same(case.expected, greedy(case.decoder, case.spec, case.prompts, NEW_TOKENS, chunk=7))


def test_more_rows_than_an_mlp_takes_at_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MLP_ROWS", 7)
    assert_same(case.expected, greedy(case.decoder, case.spec, case.prompts, NEW_TOKENS))

"""Tiny models of every family give, from safetensors in float32, the tokens that transformers gives."""

from typing import NamedTuple

import pytest
import torch

from headway.model.decoder import Decoder
from headway.model.weights import load_weights
from headway.spec import ModelSpec, read_spec
from tests.model.golden import assert_same, reference
from tests.models import tiny
from tests.models.greedy import Greedy, greedy

NEW_TOKENS = 64
LENGTHS = (1, 5, 23, 50)  # the last two are longer than the tiny models' windows


class Case(NamedTuple):
    spec: ModelSpec
    decoder: Decoder
    prompts: list[list[int]]
    expected: list[Greedy]


@pytest.fixture(scope="module", params=tiny.SEEDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny.save(request.param, folder)
    spec = read_spec(folder)
    decoder = Decoder(spec, load_weights(folder, spec, torch.float32))
    prompts = [tiny.prompt(length) for length in LENGTHS]
    return Case(spec, decoder, prompts, [reference(model, p, NEW_TOKENS) for p in prompts])


def test_the_reference_says_something_varied(case: Case) -> None:
    assert min(len(set(expected.tokens)) for expected in case.expected) >= 16


def test_prompts_of_many_lengths_in_one_batch(case: Case) -> None:
    assert_same(case.expected, greedy(case.decoder, case.spec, case.prompts, NEW_TOKENS))


def test_each_prompt_alone(case: Case) -> None:
    ours = [greedy(case.decoder, case.spec, [p], NEW_TOKENS)[0] for p in case.prompts]
    assert_same(case.expected, ours)


def test_prompts_in_chunks_of_seven_while_others_decode(case: Case) -> None:
    assert_same(case.expected, greedy(case.decoder, case.spec, case.prompts, NEW_TOKENS, chunk=7))
